"""Employees, numbers and statuses of UIS."""
