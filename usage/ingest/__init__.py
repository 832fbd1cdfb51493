"""Usage that others report after it has happened: written to PostgreSQL at once, each event once, never refused."""
