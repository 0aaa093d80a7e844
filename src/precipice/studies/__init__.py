"""Studies: grids of runs that are declared once, run anywhere, interrupted at any time, and never lose a result.

`study.py` declares, `plan.py` measures before it starts, `block.py` computes a block, `local.py` and `cluster.py` run,
`stores.py` opens the store (`results.CellStore`), `toml.py` reads a study file.

To add one (a study):

1. Write a function of one run, ``run(key, *, lr, ...) -> {"final_loss": ...}``, pure in its key.
2. Declare `Study(name, run, axes, variables, settings)`; a variable of its own is a `results.Variable`.
3. ``store = open_study(study, "folder").store``, then ``run_local(study, store)``; or a study file and
   ``precipice study FILE --out DIR``.
4. A study of a paper goes into `papers/studies.py`, where ``precipice study ID`` finds it.
"""

from precipice.studies.axes import Axis as Axis
from precipice.studies.axes import counted as counted
from precipice.studies.axes import linear as linear
from precipice.studies.axes import log_uniform as log_uniform
from precipice.studies.axes import logarithmic as logarithmic
from precipice.studies.axes import normal as normal
from precipice.studies.axes import uniform as uniform
from precipice.studies.cluster import run_ray as run_ray
from precipice.studies.local import Finished as Finished
from precipice.studies.local import retry_failed as retry_failed
from precipice.studies.local import run_local as run_local
from precipice.studies.plan import Plan as Plan
from precipice.studies.plan import plan as plan
from precipice.studies.stores import Opened as Opened
from precipice.studies.stores import extend as extend
from precipice.studies.stores import open_study as open_study
from precipice.studies.study import Study as Study
from precipice.studies.study import with_values as with_values
from precipice.studies.toml import load as load
