"""Smoke tests of a running site, from outside, also of the one in production: `make smoke BASE=https://… KEY=…`.

They read, and check what they read. Nothing is written, charged or changed, unless `--write` is given: then one call is
tracked. They need Python alone, so they run from any machine; the key comes by the variable KEY, where no list of
processes shows it.
"""
