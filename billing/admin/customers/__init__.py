"""Staff's pages for who buys."""
