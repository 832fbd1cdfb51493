"""From PostgreSQL to Redis: what an account used, and what happens while Redis is away."""
