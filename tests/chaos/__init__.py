"""The check of checks: an hour of twenty clients' calls in virtual time, with faults drawn from a seed, and a judge."""
