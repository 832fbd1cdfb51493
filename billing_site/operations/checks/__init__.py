"""What is checked at the start, and before a deployment."""
