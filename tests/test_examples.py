"""The scripts of examples/ run as they are, from outside of the repository, and leave a picture."""

import os
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path

import pytest

EXAMPLES = Path(__file__).parent.parent / "examples"


def run(name, *arguments, folder):
    """The script's output; warnings of its own are no errors there, as for a user."""
    done = subprocess.run(
        [sys.executable, EXAMPLES / name, *arguments],
        cwd=folder,
        env=os.environ | {"JAX_PLATFORMS": "cpu"},
        capture_output=True,
        text=True,
        timeout=500,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return " ".join(done.stdout.split())


ROWS = [
    ("optax_equinox.py", "equinox", ["80"]),
    ("optax_flax.py", "flax", ["140"]),
    ("torch_plain.py", "torch", []),
    ("torch_lightning.py", "lightning", []),
    ("torch_hugging_face.py", "transformers", []),
]


@pytest.mark.slow
@pytest.mark.parametrize(("name", "needs", "arguments"), ROWS)
def test_each_prints_a_summary_and_writes_a_picture(name, needs, arguments, tmp_path):
    if find_spec(needs) is None:
        pytest.skip(f"{needs} is not installed")
    shown = run(name, "picture.png", *arguments, folder=tmp_path)
    for part in (
        "normalised sharpness",
        "K = lr tr/(2 (1 - mu) B)",
        "phase",
        "overhead",
        "Learning rate:",
        "Batch size:",
    ):
        assert part in shown
    assert (tmp_path / "picture.png").read_bytes().startswith(b"\x89PNG")
