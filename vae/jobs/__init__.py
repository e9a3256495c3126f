"""Processes that outlive the app."""
