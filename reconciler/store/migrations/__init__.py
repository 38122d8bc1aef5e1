"""The journal's steps from one version to the next, and the environment Alembic runs them in.

A new step is written by `alembic.command.revision(configuration(connection), autogenerate=True)` on a
connection to a journal of the version before, then read, made plain (no types of ours), and named in
`tables.HEAD`.
"""
