"""Webhooks on the dashboard: endpoints, and what was delivered to them."""
