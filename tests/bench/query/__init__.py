"""How fast a large database answers, compared with peers on the same file."""
