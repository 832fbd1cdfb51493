"""A provider of card payments on this machine: localstripe, with a front process that does what it lacks.

localstripe keeps customers, cards, payments and refunds. The front (`http`, `provider`, `pages`) adds Idempotency-Keys,
decline codes, confirmations by the bank, hosted pages, events, disputes, and faults on demand. `running` starts both.
It is also what `make run PAYMENTS=demo` pays with.
"""
