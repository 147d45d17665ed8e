"""The board of missed callers."""
