"""What was sold: plans, subscriptions, periods, invoices."""
