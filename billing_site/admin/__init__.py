"""The admin as a site: its sidebar, and sign-in as staff see it."""
