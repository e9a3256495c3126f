"""A light decoder from a bundle's own."""
