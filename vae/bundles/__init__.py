"""The model bundle: the one contract between training and app."""
