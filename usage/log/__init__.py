"""The audit log: its events, their format, their months, the keys of requests, and the sums that follow from them."""
