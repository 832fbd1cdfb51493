"""Django's way to PostgreSQL, which does not wait for a server that hangs."""
