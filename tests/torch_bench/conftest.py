"""Nothing here is looked at where PyTorch is not installed: the helpers import it."""

import importlib.util

collect_ignore_glob = [] if importlib.util.find_spec("torch") else ["*.py"]
