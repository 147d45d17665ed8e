"""Serves both vendors' fakes on a port, with a button for each webhook; and the demonstration that plays every flow."""
