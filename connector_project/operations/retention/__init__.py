"""How long rows are kept, and the purge of those whose term is over."""
