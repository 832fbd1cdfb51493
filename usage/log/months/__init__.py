"""The log's months: made ahead of time, exported, and dropped when they are old."""
