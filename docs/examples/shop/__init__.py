"""A small product behind the site: docs/your-own-views.md walks through it."""
