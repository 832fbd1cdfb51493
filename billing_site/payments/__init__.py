"""Where providers of payments come in."""
