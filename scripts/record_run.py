"""Keep what a run at full scale left: its attributes, claim table and picture, under docs/runs/.

Run: ``python scripts/record_run.py OUT/shapira2023-fig1.zarr``
"""

import json
import shutil
import sys
from pathlib import Path

from precipice import results
from precipice.figures.claims import evaluate
from precipice.figures.gallery import claim_table
from precipice.figures.report import rows
from precipice.papers.registry import figure

RUNS = Path(__file__).parent.parent / "docs" / "runs"


def main(store: Path) -> None:
    """Write the three files."""
    dataset = results.open(store)
    reproduced = figure(dataset.attrs["study"])
    folder = RUNS / f"{reproduced.stem}-{dataset.attrs['scale']}"
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "attributes.json").write_text(json.dumps(dict(sorted(dataset.attrs.items())), indent=1) + "\n")
    table = claim_table(rows(evaluate(dataset, reproduced.claims)))
    (folder / "claims.md").write_text(f"# {reproduced.id}, scale {dataset.attrs['scale']}\n\n{table}\n")
    shutil.copyfile(store.with_suffix(".png"), folder / "picture.png")
    print(folder)


if __name__ == "__main__":
    main(Path(sys.argv[1]))
