"""How to count: limits, the limiter, the fence."""
