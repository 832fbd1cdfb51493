"""What a customer can buy: plans, their changes, and what can be had beside one."""
