"""Pictures out of strangers' files."""
