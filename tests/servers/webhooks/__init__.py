"""Receivers of webhooks on this machine: they answer as a test says, and keep what came."""
