"""How scripts reach Redis: one server, or the servers of a cluster."""
