"""Rows of what was billed: documents, their taxes, and what is billed besides periods."""
