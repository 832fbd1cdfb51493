"""What an account may do, by its plan and its exceptions: now, looked back on, and as far as it can be foreseen."""
