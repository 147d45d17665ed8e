"""Receiving and processing notifications of UIS."""
