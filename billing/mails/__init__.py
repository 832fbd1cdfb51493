"""Mails about what happened, by the outbox; and the mailbox that they go into without a provider."""
