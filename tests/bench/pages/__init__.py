"""How fast pages are answered and painted, and what following a list costs a browser."""
