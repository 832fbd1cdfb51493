"""Paying over HTTP: invoices, saved cards, stablecoins, what was received and where it lies."""
