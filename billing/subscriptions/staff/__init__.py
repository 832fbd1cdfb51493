"""What staff do for a customer: tried and rolled back to show it, then done just as it was shown."""
