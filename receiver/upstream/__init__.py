"""Case.dev as we know it: its HTTP, its payloads, and nothing of ours."""
