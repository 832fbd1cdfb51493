"""Who acts for an account, on the dashboard, and the mail that invites."""
