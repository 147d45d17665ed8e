"""Who: clients, their keys, their people, and what may pass between their two systems."""
