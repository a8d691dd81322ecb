"""How fast a large store answers, compared with peers on the same file."""
