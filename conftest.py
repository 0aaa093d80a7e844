"""What is collected: doctests of modules whose optional packages are missing are left out."""

from importlib.util import find_spec

_NEEDS = {
    "torch": ["src/precipice/torch/*"],
    "lightning": ["src/precipice/torch/lightning_callback.py"],
    "transformers": ["src/precipice/torch/hugging_face_callback.py"],
}

collect_ignore_glob = [path for package, paths in _NEEDS.items() if find_spec(package) is None for path in paths]
