"""Do every fault to studies at length, and write the table ``docs/faults.md``; the faults are those of the test suite.

    python scripts/faults.py --kills 100 --times 10 --out docs/faults.md [--ray kill_study.json]

Ends with status 1 if anything finished was lost, computed again without need, or came out otherwise.
"""

import argparse
import json
import math
import os
import platform
import sys
import tempfile
import time
from itertools import pairwise
from pathlib import Path
from typing import Any

import jax

sys.path.insert(0, str(Path(__file__).parent.parent / "tests"))

from fault_server import server
from fault_trial import Row
from faults import FAULTS, killed

HEAD = """# Faults

Written by `scripts/faults.py`, whose faults are those of `tests/test_study_faults.py`. Each is done to a running study
for real; afterwards the study is run to its end. In every row:

- **lost**: cells that had been committed and were missing later;
- **again**: cells computed more than once, and in brackets how many may be: those of the block in flight when a driver
  was killed or stopped, and those of a block whose file was damaged. Not counted: a block in which a compiled program
  raises is run again in halves before it is committed, to find the cells at fault;
- **same**: whether the final dataset equals that of an undisturbed run with the same key, bit for bit (of a fault of a
  cell: whether all other cells do, and the cell at fault is labelled as it should be).

| fault | tried | lost | again | same | what was said |
|---|---|---|---|---|---|
"""


def main() -> int:
    """Try, print and write."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--kills", type=int, default=100, help="of the driver, at random moments")
    parser.add_argument("--times", type=int, default=5, help="that every other fault is tried")
    parser.add_argument("--out", type=Path, default=Path("docs/faults.md"), help="file of the table")
    parser.add_argument("--ray", type=Path, help="what scripts/kill_study.py --on ray --json wrote")
    args = parser.parse_args()
    on_ray = [killed_on_ray(json.loads(args.ray.read_text()))] if args.ray else []
    started = time.monotonic()
    rows = tried(args.kills, args.times)
    rows[1:1] = on_ray
    args.out.write_text(HEAD + "".join(map(line, rows)) + foot(time.monotonic() - started), encoding="utf-8")
    return 0 if all(row.passed for row in rows) else 1


def tried(kills: int, times: int) -> list[Row]:
    """Every fault that this machine allows."""
    rows = []
    with tempfile.TemporaryDirectory() as folder, server() as drivers:
        Path(folder).chmod(0o755)
        for fault in FAULTS:
            row = fault(Path(folder), drivers, kills if fault is killed else times)
            if row is None:
                sys.stderr.write(f"{fault.__name__} needs rights that this user lacks: left out\n")
                continue
            sys.stderr.write(f"{'ok  ' if row.passed else 'FAIL'} {row}\n")
            rows.append(row)
    return rows


def killed_on_ray(found: dict[str, Any]) -> Row:
    """The row of what ``scripts/kill_study.py --on ray`` saw."""
    kills = found["kills"]
    drivers = sum(map(is_driver, kills))
    after = sum(is_driver(kill) and kill["by_driver"] > 0 for kill in kills)
    cells = math.prod(found["grid"].values())
    return Row(
        fault="Ray workers and their driver killed during blocks",
        tried=f"{len(kills) - drivers} workers and {drivers} drivers in a study of {cells:,} cells, "
        f"{after} of the drivers after a commit",
        lost=sum(max(kill["committed"] - at_start(later), 0) for kill, later in pairwise(kills) if is_driver(kill)),
        recomputed=found["computed"] - cells,
        allowed=sum(kill["in_flight"] for kill in kills),
        same=found["hash"] == found["undisturbed_hash"],
        said="not looked at in this row",
    )


def is_driver(kill: dict[str, Any]) -> bool:
    """Whether the driver was killed, and not a worker of it."""
    return kill["victim"] == "driver"


def at_start(kill: dict[str, Any]) -> int:
    """Cells in the store when the driver of this kill began."""
    return kill["committed"] - kill["by_driver"]


def line(row: Row) -> str:
    """A row of the table."""
    said = row.said.replace("|", "\\|").replace("`", "'")
    again = f"{row.recomputed} ({row.allowed})"
    return f"| {row.fault} | {row.tried} | {row.lost} | {again} | {'yes' if row.same else '**no**'} | {said} |\n"


def foot(seconds: float) -> str:
    """When and on what."""
    python, cores = platform.python_version(), len(os.sched_getaffinity(0))
    today = time.strftime("%Y-%m-%d")
    return (
        f"\n{today}, {seconds:.0f} s, {cores} core(s) shared with other work, {platform.system()}, Python {python}, "
        f"JAX {jax.__version__}. Cells of the first rows are 200 steps of descent; a block is 2 cells.\n"
    )


if __name__ == "__main__":
    sys.exit(main())
