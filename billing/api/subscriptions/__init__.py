"""A customer's subscription over HTTP: the plan, its changes, coupons and what can be had beside it."""
