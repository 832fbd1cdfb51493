"""Who has what: opened, changed, renewed, quoted."""
