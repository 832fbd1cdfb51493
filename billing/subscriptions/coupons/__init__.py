"""Coupons: who redeems them, and what they take off which period."""
