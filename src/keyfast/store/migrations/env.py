"""Alembic's entry: run the revisions in the transaction that ``database.upgrade`` hands over."""

from alembic import context

from keyfast.store.tables import metadata

context.configure(connection=context.config.attributes["connection"], target_metadata=metadata)
context.run_migrations()
