"""Invoices and credit notes as documents: a PDF/A-3 with the EN 16931 XML within it, the same bytes each time."""
