"""Reservations: what a call may cost at most is charged before it, and what it has cost is settled after it."""
