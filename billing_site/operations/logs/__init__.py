"""How log lines are written: of which request, in which form, and without secrets."""
