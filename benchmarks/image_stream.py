"""A stream of JPEGs against decoding in the training's own thread: images a second, and how long a training waits.

Images of 500 x 375 pixels and about 110 KB, as ImageNet's, shown at 224 x 224 (`RandomCrop`): decoded one after the
other, by one thread and by two, from files and, where pyarrow is installed, from Parquet. Then a training whose step
takes a fifth longer than a batch from two threads: the step alone, with the stream ahead, and with batches decoded
only when they are asked for. A batch is normalised, with channels first, on the device, ahead of the training as well.

Run: ``.venv/bin/python benchmarks/image_stream.py [--quick] [--rounds N]``
"""

import argparse
import importlib.util
import tempfile
import time
from pathlib import Path

import common
import jax
import numpy as np
import PIL.Image

from precipice import problems

AHEAD, ASKED, ALONE = "ahead of the training", "when asked for", "the steps alone"


def write(root: Path, num: int, shards: int) -> None:
    """JPEGs of the size of ImageNet's as files, and as Parquet where pyarrow is there."""
    random, encoded = np.random.default_rng(0), []
    for index in range(num):
        coarse = random.integers(0, 256, (47, 63, 3), dtype=np.uint8)
        smooth = np.asarray(PIL.Image.fromarray(coarse).resize((500, 375), PIL.Image.Resampling.BICUBIC), int)
        pixels = np.clip(smooth + random.normal(0, 12, smooth.shape), 0, 255).astype(np.uint8)
        path = root / "files" / "train" / f"class{index % 4}" / f"{index:05d}.JPEG"
        path.parent.mkdir(parents=True, exist_ok=True)
        PIL.Image.fromarray(pixels).save(path, quality=92)
        encoded.append({"bytes": path.read_bytes(), "path": path.name})
    print(f"{num} JPEGs of {np.mean([len(one['bytes']) for one in encoded]) / 1000:.0f} KB in the mean\n")
    if importlib.util.find_spec("pyarrow"):
        _write_parquet(root / "table", encoded, shards)


def _write_parquet(root: Path, encoded: list[dict[str, object]], shards: int) -> None:
    import pyarrow
    import pyarrow.parquet

    root.mkdir()
    for shard in range(shards):
        rows = encoded[shard::shards]
        table = pyarrow.table({"image": rows, "label": [0] * len(rows)})
        pyarrow.parquet.write_table(table, root / f"train-{shard:05d}-of-{shards:05d}.parquet", row_group_size=50)


def images_a_second(root: Path, batch_size: int, num_rounds: int) -> float:
    """A table of images a second; returns the seconds of a batch by two threads."""
    folder = problems.image_folder(root / "files" / "train")
    sources = {"files": folder} | (
        {"Parquet": problems.image_table(root / "table")} if (root / "table").exists() else {}
    )
    view, rows, seconds = problems.RandomCrop(224), [], {}

    def decoded():
        for index in range(batch_size):
            view(folder.read(index), np.random.default_rng(index))

    contenders = {"files, no threads": decoded}
    for name, source in sources.items():
        for workers in (1, 2):
            stream = problems.ImageStream(source, view, batch_size, workers=workers, ahead=0)
            contenders[f"{name}, threads: {workers}"] = lambda stream=stream: stream(0).x
    for contender in contenders.values():
        contender()
    rounds = [common.interleaved(contenders, number) for number in range(num_rounds)]
    for name in contenders:
        seconds[name] = [r[name].seconds for r in rounds]
        rows.append((name, common.spread(batch_size / np.array(seconds[name]))))
    common.print_table(
        f"batches of {batch_size}, {num_rounds} rounds: median [least, greatest]", ("from", "images/s"), rows
    )
    return float(np.median(seconds["files, threads: 2"]))


def waiting(root: Path, batch_size: int, step_seconds: float, num_rounds: int, num_steps: int = 8) -> None:
    """What a training adds to its steps by waiting for batches; a step sleeps, as a host does while its GPU works."""
    folder = problems.image_folder(root / "files" / "train")

    def trained(ahead):
        stream = problems.ImageStream(folder, problems.RandomCrop(224), batch_size, workers=2, ahead=ahead)
        stream(0)
        for step in range(1, num_steps + 1):
            time.sleep(step_seconds)
            jax.block_until_ready(stream(step).x)
        stream.close()

    contenders = {
        AHEAD: lambda: trained(2),
        ASKED: lambda: trained(0),
        ALONE: lambda: time.sleep(num_steps * step_seconds),
    }
    rounds = [common.interleaved(contenders, number) for number in range(num_rounds)]
    rows = [
        (
            name,
            common.spread([r[name].seconds for r in rounds]),
            common.spread([r[name].seconds / r[ALONE].seconds for r in rounds]),
        )
        for name in contenders
    ]
    title = f"{num_steps} steps of {step_seconds:.2g} s on batches of {batch_size}, {num_rounds} rounds"
    common.print_table(title, ("batches decoded", "seconds", "times the steps alone"), rows)


def main(options: argparse.Namespace) -> None:
    """Rates, then waiting."""
    common.print_machine("a stream of JPEGs decoded in threads")
    num, batch_size = (40, 8) if options.quick else (600, 128)
    with tempfile.TemporaryDirectory() as folder:
        write(Path(folder), num, shards=2)
        batch_seconds = images_a_second(Path(folder), batch_size, common.num_rounds(options))
        waiting(Path(folder), batch_size, 1.2 * batch_seconds, common.num_rounds(options))


if __name__ == "__main__":
    main(common.arguments(__doc__, rounds=5).parse_args())
