"""What was used, for people to read."""
