"""An EVM chain on this machine: anvil, with real contracts."""
