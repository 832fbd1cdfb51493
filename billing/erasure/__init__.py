"""What names a person is emptied or deleted; what the ledger needs stays. And users of whom nothing has to stay."""
