"""What is sold, as it is published."""
