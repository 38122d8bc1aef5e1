"""Webhooks, judged without touching anything: is it genuine, and is it about what is followed?

A payload is a hint. It says that somebody should look; what changed, and whether, comes from git alone. Nothing
of it is acted upon, and only the few fields that tell repository and branch are read.
"""
