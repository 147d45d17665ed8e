"""Clients, schemas and webhook parsing for UIS; no Django."""
