"""docs/coverage.md: every item of the formula sheet that is claimed is held by a function and by a test that exist."""

import importlib
import importlib.util
import inspect
import re
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
ROW = re.compile(r"^\| ([A-Z]+-[A-Z]?\d+[a-z]?) \| (.+?) \| `([\w.]+)` \| `(test_\w+)\.py::(test_\w+)` \|$")
TABLE = [line for line in (ROOT / "docs" / "coverage.md").read_text().splitlines() if re.match(r"^\| [A-Z]+-", line)]
ROWS = [match.groups() for line in TABLE if (match := ROW.match(line))]


def test_every_row_is_complete():
    assert [line for line in TABLE if not ROW.match(line)] == []
    assert len(ROWS) >= 10


BELONGING = {
    "QR": [*range(1, 27), *range(30, 39)],
    "REV": [*range(1, 16)],
    "MIN": [*range(1, 22)],
    "TN": [*range(1, 12), *range(20, 25), 30, 31, 32],
    "SEOS": [*range(1, 15), *range(20, 27)],
    "SEOS-F": [*range(1, 17)],
    "QR-F": [*range(1, 15)],
    "REV-F": [2],
    "MIN-F": [*range(1, 10), *range(11, 31)],
    "TN-F": [*range(1, 14)],
}
"""The formula sheet's items of all models but the papers' real networks; MIN-F10 has no caption in the text."""


def test_no_item_is_missing():
    wanted = {
        f"{kind}{number}" if "F" in kind else f"{kind}-{number}" for kind, all_ in BELONGING.items() for number in all_
    }
    assert wanted - {row[0] for row in ROWS} == set()


def test_no_item_stands_twice_with_the_same_function():
    pairs = [(item, function) for item, _, function, _, _ in ROWS]
    assert len(set(pairs)) == len(pairs)


@pytest.mark.parametrize(("item", "function"), sorted({(row[0], row[2]) for row in ROWS}))
def test_functions_exist(item, function):
    found = importlib.import_module("precipice")
    for name in function.split("."):
        path = f"{found.__name__}.{name}" if inspect.ismodule(found) else ""
        found = importlib.import_module(path) if _is_module(path) else getattr(found, name)
    assert found is not None, item


def _is_module(path):
    parent = path.rpartition(".")[0]
    return bool(parent) and hasattr(sys.modules[parent], "__path__") and importlib.util.find_spec(path) is not None


@pytest.mark.parametrize(("file", "test"), sorted({(row[3], row[4]) for row in ROWS}))
def test_tests_exist(file, test):
    assert f"\ndef {test}(" in (ROOT / "tests" / f"{file}.py").read_text()
