"""A seeded simulator: production code on real engines, with every step of several processes interleaved by one seed."""
