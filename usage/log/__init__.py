"""The audit log: its events, their format, their months, and the sums that follow from them."""
