"""Webhooks over HTTP: endpoints, what was delivered to them, and sending it again."""
