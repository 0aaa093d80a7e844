"""The public interface is what tests/public_api.txt says; a change of it is made on purpose or not at all."""

import importlib
import inspect
import runpy
import types
from pathlib import Path

import pytest

SCRIPT = Path(__file__).parent.parent / "scripts" / "update_public_api.py"
API = runpy.run_path(str(SCRIPT))


def public(room):
    module = importlib.import_module(f"precipice.{room}")
    return {n: v for n, v in vars(module).items() if not n.startswith("_") and not isinstance(v, types.ModuleType)}


def test_names_and_signatures_are_those_of_the_snapshot():
    assert API["describe"]() == API["SNAPSHOT"].read_text(), f"if the change is meant, run python {SCRIPT.name}"


def test_the_snapshot_sees_a_changed_signature(monkeypatch):
    from precipice import curvature

    def trace(op, *, key, num=31):
        return op, key, num

    monkeypatch.setattr(curvature, "trace", trace)
    assert "    trace(op, *, key, num=31)\n" in API["describe"]()
    assert API["describe"]() != API["SNAPSHOT"].read_text()


@pytest.mark.parametrize("room", API["ROOMS"])
def test_every_public_function_and_class_is_documented(room):
    assert importlib.import_module(f"precipice.{room}").__doc__
    for name, value in public(room).items():
        if inspect.isclass(value) or inspect.isroutine(value):
            assert (inspect.getdoc(value) or "").strip(), f"{room}.{name} has no docstring"


@pytest.mark.parametrize("room", API["ROOMS"])
def test_rooms_export_names_of_their_own_only(room):
    for name, value in public(room).items():
        home = getattr(value, "__module__", None) or "precipice"
        assert home.startswith(("precipice", "typer")), f"{room}.{name} comes from {home}"
