"""The history of the schema, one line for SQLite and PostgreSQL; `python -m store.migrate` runs it."""
