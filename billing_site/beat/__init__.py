"""What beat is of ours: its scheduler, and its look for work."""
