"""Faults under load: the real server, real engines, real clients, and the laws checked from the outside."""
