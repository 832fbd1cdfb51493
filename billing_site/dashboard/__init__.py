"""The customer's pages: thin views over the functions that the HTTP API and the admin call, too.

A subject that takes more than one module has a folder, with its views in `pages`.
"""
