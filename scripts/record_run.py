"""Keep what runs of figures left: ``docs/runs/<figure>.json`` for each, picture and claim table too at scale paper.

The JSON says scale, hardware, images used, and each claim with what was measured; a record of a larger scale is kept.
The table of docs/runs/README.md is made anew from all of them.

Run: ``python scripts/record_run.py OUT/*.zarr``
"""

import json
import math
import shutil
import sys
from pathlib import Path
from typing import Any

from precipice import results
from precipice.figures.claims import FAILS, HOLDS, NOT_EVALUATED, Verdict, evaluate
from precipice.figures.gallery import claim_table
from precipice.figures.report import rows
from precipice.papers.registry import figure

RUNS = Path(__file__).parent.parent / "docs" / "runs"
FROM, TO = "<!-- made by scripts/record_run.py: from here -->", "<!-- to here -->"
HARDWARE = ("device", "cpu", "num_threads", "platform")
ORIGIN = ("created_at", "git_commit", "git_dirty", "precipice_version", "jax_version", "precision", "wall_time_seconds")


def main(stores: list[Path]) -> None:
    """Record each store, then the table."""
    for store in stores:
        print(record(store))
    tabulate()


def record(store: Path) -> str:
    """Write what a store says; returns what was done, in a sentence."""
    dataset = results.open(store)
    attrs = dataset.attrs
    if attrs["control"]:
        return f"{store}: a control, not recorded"
    reproduced = figure(attrs["study"])
    target = RUNS / f"{reproduced.stem}.json"
    verdicts = evaluate(dataset, reproduced.claims)
    found = described(attrs, verdicts)
    if target.exists() and _size(before := json.loads(target.read_text())) > _size(found):
        return f"{store}: {target.name} keeps its run at scale {before['scale']}"
    target.write_text(json.dumps(found, indent=1) + "\n")
    if _size(found):
        _keep_picture(store, attrs, verdicts)
    return f"{store}: {target.name} written"


def described(attrs: dict[str, Any], verdicts: tuple[Verdict, ...]) -> dict[str, Any]:
    """The record of a run: attributes of its dataset, and its claims by verdict."""
    settings = json.loads(attrs["parameters"])
    claims: dict[str, Any] = {verdict: {} for verdict in (HOLDS, FAILS, NOT_EVALUATED)}
    for v in verdicts:
        says = {"says": v.claim.says, "band": [_finite(end) for end in v.claim.band], "meaning": v.claim.reason}
        claims[v.verdict][v.claim.name] = says if v.verdict == NOT_EVALUATED else {"measured": list(v.measured), **says}
    return {
        "figure": attrs["study"],
        "scale": attrs["scale"],
        "reduced": attrs["reduced"],
        "dataset": settings.get("dataset", "none"),
        "images": settings.get("num_examples") if "dataset" in settings else None,
        "hardware": {name: attrs[name] for name in HARDWARE},
        **{name: attrs[name] for name in ORIGIN},
        "settings": settings,
        "claims": claims,
    }


def _finite(end: float) -> float | None:
    """An end of a band; None, as JSON has no infinity, where it is open."""
    return end if math.isfinite(end) else None


def _size(found: dict[str, Any]) -> int:
    """2 at scale paper, 1 where some settings of it were changed, else 0."""
    return 2 if found["scale"] == "paper" else int("(paper " in found["reduced"])


def _keep_picture(store: Path, attrs: dict[str, Any], verdicts: tuple[Verdict, ...]) -> None:
    folder = RUNS / f"{figure(attrs['study']).stem}-{attrs['scale']}"
    folder.mkdir(parents=True, exist_ok=True)
    changed = "" if attrs["reduced"] == "no" else f": {attrs['reduced']}"
    title = f"# {attrs['study']}, scale {attrs['scale']}{changed}"
    (folder / "claims.md").write_text(f"{title}\n\n{claim_table(rows(verdicts))}\n")
    shutil.copyfile(store.with_suffix(".png"), folder / "picture.png")


def tabulate() -> None:
    """The table of all records, and the list of claims that were not evaluated, into docs/runs/README.md."""
    found = [json.loads(path.read_text()) for path in sorted(RUNS.glob("*.json"))]
    lines = ["| figure | scale | images | wall time | held | failed | not evaluated |", "|---|---|---|---|---|---|---|"]
    lines += [_row(one) for one in found]
    unjudged = [(one["figure"], name, c) for one in found for name, c in one["claims"][NOT_EVALUATED].items()]
    if unjudged:
        lines += ["", "Not evaluated, and why:", ""]
        lines += [f"- {name}, {claim}: {c['meaning']}." for name, claim, c in unjudged]
    page = RUNS / "README.md"
    before, after = page.read_text().split(FROM)[0], page.read_text().split(TO)[1]
    page.write_text(f"{before}{FROM}\n\n" + "\n".join(lines) + f"\n\n{TO}{after}")


def _row(one: dict[str, Any]) -> str:
    scale = one["scale"] if one["reduced"] == "no" else f"{one['scale']}: {one['reduced']}"
    images = "-" if one["images"] is None else f"{one['images']:,} of {one['dataset']}"
    held, failed, unjudged = (one["claims"][verdict] for verdict in (HOLDS, FAILS, NOT_EVALUATED))
    folder = RUNS / f"{figure(one['figure']).stem}-{one['scale']}"
    name = f"[{one['figure']}]({folder.name}/claims.md)" if folder.exists() else one["figure"]
    return (
        f"| {name} | {scale} | {images} | {one['wall_time_seconds']:,.0f} s | {len(held)} | "
        f"{', '.join(failed) or '-'} | {', '.join(unjudged) or '-'} |"
    )


if __name__ == "__main__":
    main([Path(name) for name in sys.argv[1:]])
