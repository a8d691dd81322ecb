"""`make deploy-check`: the files of deploy/, checked with the programs that read them.

It needs Debian's packages of Prometheus, Caddy and systemd, so it is no part of the test suite.
"""
