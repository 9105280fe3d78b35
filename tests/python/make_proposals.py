"""Writes the small MATLAB files that tests of crates/transfer read: python tests/python/make_proposals.py"""

from pathlib import Path

import numpy as np
import scipy.io

FOLDER = Path(__file__).parents[2] / "crates/transfer/tests/data"


def cells(values):
    array = np.empty((1, len(values)), dtype=object)
    for index, value in enumerate(values):
        array[0, index] = value
    return array


# Rows are y1 x1 y2 x2 from 1, as selective search leaves them; numeric types differ on purpose.
boxes = cells(
    [
        np.array([[10, 1, 60, 100], [1, 5, 300, 200]], dtype=np.uint16),
        np.array([[3, 2, 5, 4]], dtype=np.float64),
        np.zeros((0, 4)),
    ]
)
images = cells(["000001", "image_2", "nothing"])
FOLDER.mkdir(parents=True, exist_ok=True)
for name, compressed in [("compressed", True), ("plain", False)]:
    content = {"boxes": boxes, "images": images, "unused": {"a": 1.0}}
    scipy.io.savemat(FOLDER / f"{name}.mat", content, do_compression=compressed)
