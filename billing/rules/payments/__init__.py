"""Money in: what a decline means, when a charge is tried again, when that ends, and units of a chain's tokens."""
