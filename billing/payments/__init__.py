"""Money that comes in, and goes back: by hand, by card, in stablecoins."""
"""Money in and out: what was received, where it went, what was taken back or paid out."""
