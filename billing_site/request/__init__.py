"""What the gateway does with one request beside deciding on it: who calls, in which state, and how it is refused."""
