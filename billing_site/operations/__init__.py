"""For operators: health, metrics, and what is checked at the start."""
