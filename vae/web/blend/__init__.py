"""The Blend page."""
