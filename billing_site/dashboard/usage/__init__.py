"""What was used, on the dashboard: the log, agents, and notices."""
