"""Erasure of one phone number from every row of a client."""
