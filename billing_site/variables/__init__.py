"""Every variable of the environment that sets something, by what it is about. `billing_site.settings` takes them all.

A new one stands in the module of its like, with its meaning; `python -m tests.programs.configuration` then writes
docs/configuration.md anew.
"""
