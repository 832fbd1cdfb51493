"""The customer's page: everything about one account, and every action on it."""
