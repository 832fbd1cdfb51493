"""Environment variables: read in groups, each with its meaning; docs/configuration.md is made of them."""

from billing_site.environment import patterns
from billing_site.environment.group import Group

__all__ = ["Group", "patterns"]
