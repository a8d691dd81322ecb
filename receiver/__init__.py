"""Everything that hears or speaks HTTP, and the worker."""
