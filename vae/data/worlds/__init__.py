"""Worlds: pictures that a package can draw or simulate without end, with factors that are exactly known."""
