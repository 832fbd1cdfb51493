"""Cards: who keeps and charges them for us, methods that were saved, and what the provider tells."""
