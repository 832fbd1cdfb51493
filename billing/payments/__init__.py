"""Money in and out: what was received, where it went, what was taken back or paid out."""
