"""Run migrations on the connection that the journal hands over, in one transaction.

There is no configuration file: the connection comes as an attribute. One transaction for all steps, also in
SQLite, so that an interrupted migration leaves the old version.
"""

from alembic import context

from reconciler.store.tables import Table

context.configure(
    connection=context.config.attributes["connection"],
    target_metadata=Table.metadata,
    transactional_ddl=True,
    transaction_per_migration=False,
)
context.run_migrations()
