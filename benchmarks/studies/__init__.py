"""This project's own experiments, and the tables of its README: they need a checkout and are no part of st-bench.

One more study: a program of its own here, and its line in `docs/bench.md`.
"""
