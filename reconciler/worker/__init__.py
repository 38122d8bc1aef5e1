"""Processes that run releases, seen from control: zygotes, workers, and the crew that keeps a release alive.

Knows how to fork, watch, retire and kill. Refuses to know why: which release should run is decided
elsewhere, and what a worker does inside is `reconciler.inside`.
"""
