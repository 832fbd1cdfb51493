"""The bill: invoices, credit notes, payments and balances, and their numbers."""
