"""What PostgreSQL knows of requests under an Idempotency-Key."""
