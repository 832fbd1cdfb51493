"""Tokens: what they cost, what costs them, and whose are spent first."""
