"""Geometry of codes: no pictures, no torch."""
