"""Staff's pages for payments."""
