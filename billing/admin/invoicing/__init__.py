"""Staff's pages for documents, and for who is on them."""
