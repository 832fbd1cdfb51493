"""How bytes come in and go out: whole requests to threads, answers to clients, and a deadline for each client."""
