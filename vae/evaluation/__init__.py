"""Figures of a model, and of this program."""
