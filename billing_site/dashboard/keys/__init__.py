"""API keys on the dashboard, their limits, and a first call with a new one."""
