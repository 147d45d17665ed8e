"""Comparing UIS's report with our rows, and importing past calls."""
