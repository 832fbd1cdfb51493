"""What is sold: plans, features and the paths they are metered at."""
