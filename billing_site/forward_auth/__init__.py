"""The door for other stacks: a proxy asks here before it serves a request, which is decided and charged as our own."""
