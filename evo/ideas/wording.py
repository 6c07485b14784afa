"""Words that say nothing of a subject, for whoever compares texts or searches by them."""

from __future__ import annotations

_COMMON = """
a an and are as at be by can for from has have how in into is it its of on or so than that the their then this to via
was we what when where which while who why will with your
"""
COMMON = frozenset(_COMMON.split())
