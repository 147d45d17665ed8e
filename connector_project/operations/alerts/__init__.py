"""Alerting: a snapshot, the problems found in it, incidents and their notifications."""
