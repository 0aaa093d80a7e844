"""Tables of tests of which a short run takes some rows only."""

import pytest


def some(rows, *short):
    """`rows` as parameters of one test; those that are not among `short` run with ``make test LONG=1``."""
    return [row if row in short else pytest.param(row, marks=pytest.mark.long) for row in rows]
