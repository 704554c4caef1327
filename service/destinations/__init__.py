"""The systems out."""
