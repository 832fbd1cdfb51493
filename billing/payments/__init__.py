"""Money that comes in, and goes back: by hand, by card, in stablecoins."""
