"""How fast a large store answers, beside peers on the same file."""
