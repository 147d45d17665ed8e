"""Tenants: their accounts, employees, transfer rules, audit log and API keys."""
