"""The script that Alembic executes: runs our migrations on the connection in its configuration."""

from alembic import context

context.configure(connection=context.config.attributes["connection"])
with context.begin_transaction():
    context.run_migrations()
