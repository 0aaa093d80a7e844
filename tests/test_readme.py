"""The Python code blocks of the README and of the documentation pages run as written, in a fresh interpreter."""

import os
import re
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
PAGES = (
    "README.md",
    "docs/curvature.md",
    "docs/device_mesh.md",
    "docs/monitor_jax.md",
    "docs/noise_kernel_norm.md",
    "docs/studies.md",
    "docs/thresholds.md",
)


TORCH_PAGES = ("README.md", "docs/monitor_torch.md")


@pytest.mark.parametrize("page", PAGES)
def test_code_blocks_run(page, tmp_path):
    runs(page, "python", tmp_path)


@pytest.mark.parametrize("page", TORCH_PAGES)
def test_code_blocks_for_pytorch_run(page, tmp_path):
    if find_spec("torch") is None:
        pytest.skip("torch is not installed")
    runs(page, "python torch", tmp_path)


def runs(page, kind, folder):
    blocks = re.findall(rf"```{kind}\n(.*?)```", (ROOT / page).read_text(), flags=re.DOTALL)
    assert blocks
    run = subprocess.run(
        [sys.executable, "-c", "\n".join(blocks)],
        cwd=folder,
        env={**os.environ, "JAX_PLATFORMS": "cpu"},
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    assert run.returncode == 0, run.stderr
    assert re.search(r"\d\.\d", run.stdout)
    for picture in re.findall(r'plot\("([^"]+)"\)', "\n".join(blocks)):
        assert (folder / picture).stat().st_size
