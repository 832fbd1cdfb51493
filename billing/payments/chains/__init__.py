"""Payments in stablecoins. The site knows public keys alone: it can see money arrive, and can move none."""
