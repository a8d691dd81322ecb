"""`make deploy-check`: the files of deploy/ in the hands of the programs that they are for.

It needs Debian's packages of Prometheus, Caddy and systemd, so it is no part of the test suite.
"""
