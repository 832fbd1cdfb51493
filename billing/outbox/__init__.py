"""What happened, as rows of the fact's own transaction, brought to each consumer in the order of each account."""
