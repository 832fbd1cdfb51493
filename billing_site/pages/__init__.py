"""Pages of no room: the first one, the API's index, and what answers where nothing else does."""
