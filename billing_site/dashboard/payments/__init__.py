"""Pages on which a customer pays: by card, in stablecoins, and saved cards."""
