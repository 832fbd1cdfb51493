"""For the tests of a host product: fixtures, engines, settings and a clock. Nothing of it is imported by the site."""
