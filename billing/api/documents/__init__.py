"""What a customer is billed and credited over HTTP, and how documents name the customer."""
