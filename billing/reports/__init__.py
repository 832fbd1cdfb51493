"""What staff see of all customers together."""
