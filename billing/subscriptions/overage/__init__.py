"""Tokens sold above the quota: what is due when a period closes, and how far a customer lets them go."""
