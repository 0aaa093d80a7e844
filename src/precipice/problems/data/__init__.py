"""Data: inputs, targets and one sentence of provenance, as one `Dataset`.

| name | what it is |
|---|---|
| `cifar10`, `mnist` | images from the official files, md5 checked (`files.py` says where they lie) |
| `digits` | 1797 images of 8x8 pixels that come with scikit-learn: no file, no network |
| `chebyshev` | one-dimensional regression on a Chebyshev polynomial |
| `rescaled_layers_task` | linear regression with X X^T = d I, for deep linear networks of unequal layers |
| `sparse_coding` | one spike in noise; the label is its sign |
| `from_arrays` | your own arrays |

Images that do not fit into memory are no `Dataset` but a collection (`encoded.py`), of which an `ImageStream` makes one
for each step: `imagenet`, `image_folder`, `image_table`, seen through `RandomCrop` or `CentreCrop` (`image_views.py`).

What is done to images is passed as functions: `targets` (`one_hot`, `binary_pair`, `parity`), `preprocess`
(`scale_only`, `scale_symmetric`, `centre`, `centre_channels`, `standardise_channels`, `standardise_pixels`, `zca`),
`layout` (`flat`, `channels_first`, `span`); any function of the same form will do.

To add one:

1. Write a function in a file of its own that returns a `Dataset` through `from_arrays` (or, for images,
   through `images.image_dataset`, which gives it the common options).
2. For files to download, describe them with one `Release` in `releases.py` and add it to `RELEASES` there.
3. Export the function below.
4. Test it in `tests/test_data.py`, on a tiny file in the official format that the test writes itself.
"""

from precipice.problems.data.augment import CropAndFlip as CropAndFlip
from precipice.problems.data.cifar10 import cifar10 as cifar10
from precipice.problems.data.dataset import Dataset as Dataset
from precipice.problems.data.dataset import from_arrays as from_arrays
from precipice.problems.data.digits import digits as digits
from precipice.problems.data.encoded import AbstractImages as AbstractImages
from precipice.problems.data.encoded import check_same_classes as check_same_classes
from precipice.problems.data.encoded import chosen_images as chosen_images
from precipice.problems.data.encoded import spread_images as spread_images
from precipice.problems.data.files import fetch as fetch
from precipice.problems.data.files import found as found
from precipice.problems.data.generated_images import write_generated_images as write_generated_images
from precipice.problems.data.image_folder import image_folder as image_folder
from precipice.problems.data.image_order import stream_order as stream_order
from precipice.problems.data.image_stream import ImageStream as ImageStream
from precipice.problems.data.image_table import image_table as image_table
from precipice.problems.data.image_views import CentreCrop as CentreCrop
from precipice.problems.data.image_views import RandomCrop as RandomCrop
from precipice.problems.data.imagenet import imagenet as imagenet
from precipice.problems.data.layouts import channels_first as channels_first
from precipice.problems.data.layouts import flat as flat
from precipice.problems.data.layouts import span as span
from precipice.problems.data.mnist import mnist as mnist
from precipice.problems.data.preprocess import centre as centre
from precipice.problems.data.preprocess import centre_channels as centre_channels
from precipice.problems.data.preprocess import scale_only as scale_only
from precipice.problems.data.preprocess import scale_symmetric as scale_symmetric
from precipice.problems.data.preprocess import standardise_channels as standardise_channels
from precipice.problems.data.preprocess import standardise_pixels as standardise_pixels
from precipice.problems.data.preprocess import zca as zca
from precipice.problems.data.sparse_coding import sparse_coding as sparse_coding
from precipice.problems.data.synthetic import chebyshev as chebyshev
from precipice.problems.data.synthetic import rescaled_layers_task as rescaled_layers_task
from precipice.problems.data.targets import binary_pair as binary_pair
from precipice.problems.data.targets import one_hot as one_hot
from precipice.problems.data.targets import parity as parity
from precipice.problems.data.unreadable import refuse_unreadable as refuse_unreadable
from precipice.problems.data.unreadable import skip_unreadable as skip_unreadable
from precipice.problems.data.unreadable import unreadable as unreadable
