"""From Redis to PostgreSQL: audit events, each once."""
