"""Generated images written in each layout that `problems.imagenet` reads, for the tests of image streams."""

import io
import itertools
import json
from pathlib import Path

import numpy as np
import PIL.Image

from precipice import problems

NUM, CLASSES = 60, 3


def folder(root: Path, num=NUM, seed=0, split="train"):
    problems.write_generated_images(root / split, num, CLASSES, seed=seed, side=24)
    return problems.image_folder(root / split)


def rows_of(images):
    return [images.read(i) for i in range(len(images))], images.labels.tolist()


def as_parquet(root: Path, images, shards=2, rows=7, split="train", struct=True, names=True):
    import pyarrow as pa
    import pyarrow.parquet as pq

    for number, table in enumerate(_tables(images, shards, struct, names)):
        path = root / "data" / f"{split}-{number:05d}-of-{shards:05d}.parquet"
        path.parent.mkdir(parents=True, exist_ok=True)
        pq.write_table(table, path, row_group_size=rows)
    assert pa.__version__
    return problems.image_table(root, "train" if split == "train" else "val")


def as_arrow(root: Path, images, shards=2, rows=7, stream=True):
    """As ``datasets.save_to_disk`` writes them (stream), or in the file format."""
    import pyarrow as pa

    (root / "train").mkdir(parents=True)
    for number, table in enumerate(_tables(images, shards, struct=True, names=True)):
        new = pa.ipc.new_stream if stream else pa.ipc.new_file
        with new(str(root / "train" / f"data-{number:05d}-of-{shards:05d}.arrow"), table.schema) as writer:
            writer.write_table(table, max_chunksize=rows)
    return problems.image_table(root)


def _tables(images, shards, struct, names):
    import pyarrow as pa

    encoded, labels = rows_of(images)
    column = pa.array([{"bytes": e, "path": None} for e in encoded] if struct else encoded)
    table = pa.table({"image": column, "label": pa.array(labels, pa.int64())})
    if names:
        features = {"label": {"names": list(images.classes), "_type": "ClassLabel"}}
        table = table.replace_schema_metadata({"huggingface": json.dumps({"info": {"features": features}})})
    cuts = np.linspace(0, len(labels), shards + 1).astype(int)
    return [table.slice(a, b - a) for a, b in itertools.pairwise(cuts)]


LAYOUTS = {
    "parquet": as_parquet,
    "plain bytes": lambda root, images: as_parquet(root, images, shards=1, rows=60, struct=False, names=False),
    "arrow stream": as_arrow,
    "arrow file": lambda root, images: as_arrow(root, images, stream=False),
}


def encoded(pixels, kind="PNG", **options):
    out = io.BytesIO()
    PIL.Image.fromarray(pixels).save(out, kind, **options)
    return out.getvalue()
