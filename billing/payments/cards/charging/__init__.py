"""Charging cards for invoices: each try is a row first, then a call of the provider, then what it answered."""
