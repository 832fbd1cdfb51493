"""Staff's pages for what is sold."""
