"""The loop: fetch, read, plan, apply, record.

Introduces packages that are strangers to one another: git, environments, workers, the gateway, suites and
the journal. Decides nothing that a pure function of `reconciler.model` can decide.
"""
