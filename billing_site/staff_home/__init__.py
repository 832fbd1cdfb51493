"""The staff's home: what has to be looked at today."""
