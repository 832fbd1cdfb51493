"""The files of docs/deploy, and the way from an empty server to the first call."""
