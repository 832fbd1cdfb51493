"""The versions that tell every worker when its facts are stale, and how Redis learns them."""
