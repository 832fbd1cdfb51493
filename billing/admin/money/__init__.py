"""What staff see of money, and do about it."""
