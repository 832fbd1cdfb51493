"""Tests of this folder use the default catalogue a lot."""

from tests.seeded import catalogue

__all__ = ["catalogue"]
