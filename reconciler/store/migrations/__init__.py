"""The journal's steps from one version to the next, and the environment Alembic runs them in."""
