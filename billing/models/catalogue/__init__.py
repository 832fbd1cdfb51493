"""What is sold: plans, what they include and cost, and what can be had beside them."""
