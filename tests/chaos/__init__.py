"""Plays an hour of calls in virtual time with random faults, and compares the results with the expected ones."""
