"""A soak: many charges through the whole pipeline, while Redis' memory and the drain's are watched."""
