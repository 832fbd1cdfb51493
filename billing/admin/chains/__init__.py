"""Staff's pages for payments in stablecoins."""
