"""Tables of tests of which a short run takes some rows only."""

import pytest


def some(rows, *short):
    """`rows` as parameters of one test; those that are not among `short` run with ``make test LONG=1``."""

    def param(row):
        """A tuple is a row of several arguments."""
        values = row if isinstance(row, tuple) else (row,)
        return pytest.param(*values, marks=() if row in short else pytest.mark.long)

    return [param(row) for row in rows]
