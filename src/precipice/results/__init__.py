"""Results: names and units (`vocabulary.py`), labels (`dataset.py`), origin (`provenance.py`), and the store.

Nothing here imports JAX, and xarray and zarr are imported only when a dataset is made, saved or opened.

To add one (a variable):

1. Write a `Variable` in the list of `vocabulary.py` (`theory_vocabulary.py` for a model): name, own dimensions, units,
   one sentence, reference.
2. If it needs a new axis, write a `Dimension` there too; if it holds codes, an `IntEnum`.
3. Return an array under that name from a probe, or hand it to `to_dataset`.
4. A variable of one study only stays out of the list: pass it as ``to_dataset(..., extra=(Variable(...),))``.
"""

from precipice.results.atomic import check_writable as check_writable
from precipice.results.atomic import write_bytes as write_bytes
from precipice.results.cells import CellStore as CellStore
from precipice.results.cells import create_cells as create_cells
from precipice.results.checkpoint import load_checkpoint as load_checkpoint
from precipice.results.checkpoint import save_checkpoint as save_checkpoint
from precipice.results.dataset import pad_runs as pad_runs
from precipice.results.dataset import to_dataset as to_dataset
from precipice.results.errors import StoreError as StoreError
from precipice.results.errors import WriteError as WriteError
from precipice.results.extend import extend_cells as extend_cells
from precipice.results.layout import CellVariable as CellVariable
from precipice.results.layout import Layout as Layout
from precipice.results.layout import cell_variable as cell_variable
from precipice.results.provenance import num_threads as num_threads
from precipice.results.provenance import parameters_key as parameters_key
from precipice.results.provenance import provenance as provenance
from precipice.results.store import open as open
from precipice.results.store import save as save
from precipice.results.store import verify as verify
from precipice.results.variable import Dimension as Dimension
from precipice.results.variable import Status as Status
from precipice.results.variable import StopReason as StopReason
from precipice.results.variable import Variable as Variable
from precipice.results.vocabulary import DIMENSIONS as DIMENSIONS
from precipice.results.vocabulary import VARIABLES as VARIABLES
from precipice.results.vocabulary import variable as variable
