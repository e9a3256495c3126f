"""The Learn page: the introduction, alive."""
