"""The end of a period: what follows by the rule, done to all that are due, or held back for staff."""
