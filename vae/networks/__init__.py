"""Torch modules: what is trained."""
