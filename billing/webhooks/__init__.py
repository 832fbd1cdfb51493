"""Webhooks: a message about what happened is sent to the endpoints that want it, signed, until each has taken it.

The outbox's message is written in the transaction of the fact. Its consumer makes one row for what is told and one for
each delivery; senders lease these, and send outside of any transaction.
"""
