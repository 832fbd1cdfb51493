"""One call: decided on, charged, given back."""
