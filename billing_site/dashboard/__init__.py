"""The customer's pages: thin views over the functions that the HTTP API and the admin call, too."""
