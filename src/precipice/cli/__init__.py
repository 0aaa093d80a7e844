"""The command line ``precipice``. Importing it is quick: commands import JAX, NumPy, xarray and matplotlib themselves.

Results go to standard output; progress, notes and errors to standard error. Exit statuses: `status.py`.

To add one (a command):

1. Write a function of annotated parameters in a file here, with a first sentence that says what it does.
2. Decorate it with `@reported`, so that bad input becomes one sentence and exit status 2.
3. Register it in `app.py` with an example; import heavy rooms inside it only.
4. Add its rows to the table of exit statuses in `tests/test_cli.py`.
"""

from precipice.cli.app import app as app
from precipice.cli.app import main as main
