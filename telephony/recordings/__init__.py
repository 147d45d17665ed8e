"""Recordings: which one, its link, and playing it."""
