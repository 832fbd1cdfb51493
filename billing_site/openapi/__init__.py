"""The OpenAPI document of the site: made of the views, and served."""
