"""The admin's pages of payments by providers."""
