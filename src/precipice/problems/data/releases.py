"""The official releases: which files, their md5s, and where they are downloaded from. No JAX here.

To add one:

1. Describe it with one `Release` below.
2. Add it to `RELEASES`; `fetch` and `found` then know it.
"""

from collections.abc import Mapping
from dataclasses import dataclass


@dataclass(frozen=True)
class Release:
    """An official data set as files.

    Args:
        name: what `precipice fetch` calls it.
        title: what a sentence calls it.
        folder: where its files lie, under the data directory.
        checksums: file name to md5.
        splits: split name to the files that hold it, in order.
        counts: split name to number of examples.
        url: address of the folder it is downloaded from, ending in a slash.
        archive: (name, md5) of the tar file that holds all the files in `folder`; None where files come one
            by one.
    """

    name: str
    title: str
    folder: str
    checksums: Mapping[str, str]
    splits: Mapping[str, tuple[str, ...]]
    counts: Mapping[str, int]
    url: str
    archive: tuple[str, str] | None = None


CIFAR10 = Release(
    name="cifar10",
    title="CIFAR-10",
    folder="cifar-10-batches-bin",
    checksums={
        "data_batch_1.bin": "5dd7e06a14cb22eb9f671a540d1b7c25",
        "data_batch_2.bin": "5ea93a67294ea407fff1d09f752e9692",
        "data_batch_3.bin": "942cd6a4bcdd0dd3c604fbe906cb4421",
        "data_batch_4.bin": "ae636b3ba5c66a11e91e8cb52e771fcb",
        "data_batch_5.bin": "53f37980c15c3d472c316c40844f3f0d",
        "test_batch.bin": "803d5f7f4d78ea53de84dbe85f74fb6d",
    },
    splits={"train": tuple(f"data_batch_{i}.bin" for i in range(1, 6)), "test": ("test_batch.bin",)},
    counts={"train": 50_000, "test": 10_000},
    url="https://www.cs.toronto.edu/~kriz/",
    archive=("cifar-10-binary.tar.gz", "c32a1d4ab5d03f1284b67883e8d87530"),
)

MNIST = Release(
    name="mnist",
    title="MNIST",
    folder="mnist",
    checksums={
        "train-images-idx3-ubyte.gz": "f68b3c2dcbeaaa9fbdd348bbdeb94873",
        "train-labels-idx1-ubyte.gz": "d53e105ee54ea40749a09fcbcd1e9432",
        "t10k-images-idx3-ubyte.gz": "9fb629c4189551a2d022fa330f9573f3",
        "t10k-labels-idx1-ubyte.gz": "ec29112dd5afa0611ce80d1b7f02629c",
    },
    splits={
        "train": ("train-images-idx3-ubyte.gz", "train-labels-idx1-ubyte.gz"),
        "test": ("t10k-images-idx3-ubyte.gz", "t10k-labels-idx1-ubyte.gz"),
    },
    counts={"train": 60_000, "test": 10_000},
    url="https://ossci-datasets.s3.amazonaws.com/mnist/",
)

RELEASES: Mapping[str, Release] = {release.name: release for release in (CIFAR10, MNIST)}
"""Every release by the name that `fetch` takes."""
