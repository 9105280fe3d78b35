"""The arrays that both sides of `clustering.py` work on, made once and written as `.npy` files."""

from functools import cached_property

import faiss
import numpy as np
from scipy.spatial import cKDTree

DIM = 256
NUM_GROUPS = 2_000
WITHIN_GROUP_CORRELATION = 0.3
ROWS_PER_BLOCK = 50_000
# The original runs PIC with sigma = 0.2. At this squared distance a weight is exp(-5): the differences between the
# samples, which are weights times alpha, are far above the rounding of both sides.
FIFTH_NEIGHBOR_SQUARED_DISTANCE = 0.2


class BenchmarkData:
    """Paths and arrays by name; each is made when it is first asked for.

    `scale` is a fraction of the numbers of rows. `source` holds real whitened rows of unit norm to resample; without,
    the rows are a mixture of groups of unequal sizes.
    """

    def __init__(self, folder, scale, source):
        self.folder = folder
        self.scale = scale
        self.source = source

    def num_rows(self, full):
        return max(round(full * self.scale), 10_000)

    def save(self, name, array):
        path = self.folder / f"{name}.npy"
        np.save(path, array)
        return path

    @cached_property
    def features(self):
        """The path of the rows, and the group of each."""
        return self.write_features("features", self.num_rows(100_000), seed=1)

    @cached_property
    def full_features(self):
        """As many rows as ImageNet has images."""
        return self.write_features("full_features", self.num_rows(1_281_167), seed=2)

    @cached_property
    def graph_features(self):
        return self.write_features("graph_features", self.num_rows(20_000), seed=3)

    def write_features(self, name, num_rows, seed):
        rng = np.random.default_rng(seed)
        blocks = self.resampled_blocks if self.source is not None else self.mixture_blocks
        path = self.folder / f"{name}.npy"
        features = np.lib.format.open_memmap(path, "w+", np.float32, (num_rows, DIM))
        groups = []
        for start, (rows, group) in zip(range(0, num_rows, ROWS_PER_BLOCK), blocks(rng, num_rows)):
            features[start : start + len(rows)] = rows / np.linalg.norm(rows, axis=1, keepdims=True)
            groups.append(group)
        features.flush()
        return path, np.concatenate(groups)

    def mixture_blocks(self, rng, num_rows):
        centers = rng.standard_normal((NUM_GROUPS, DIM), np.float32)
        sizes = np.exp(0.7 * rng.standard_normal(NUM_GROUPS))
        for start in range(0, num_rows, ROWS_PER_BLOCK):
            count = min(ROWS_PER_BLOCK, num_rows - start)
            group = rng.choice(NUM_GROUPS, count, p=sizes / sizes.sum())
            noise = rng.standard_normal((count, DIM), np.float32)
            rows = WITHIN_GROUP_CORRELATION**0.5 * centers[group] + (1 - WITHIN_GROUP_CORRELATION) ** 0.5 * noise
            yield rows, group

    def resampled_blocks(self, rng, num_rows):
        """Copies of the source rows with noise, so that two copies are as far apart as neighbours in the source."""
        index = faiss.IndexFlatL2(DIM)
        index.add(self.source)
        nearest = index.search(self.source[:1000], 2)[0][:, 1]
        deviation = np.sqrt(np.median(nearest) / 2 / DIM)
        for start in range(0, num_rows, ROWS_PER_BLOCK):
            count = min(ROWS_PER_BLOCK, num_rows - start)
            group = rng.integers(len(self.source), size=count)
            noise = rng.standard_normal((count, DIM), np.float32)
            yield self.source[group] + np.float32(deviation) * noise, group

    def initial_centroids(self, path, num_clusters):
        """Different random rows."""
        features = np.load(path, mmap_mode="r")
        rows = np.random.default_rng(4).choice(len(features), num_clusters, replace=False)
        centroids = np.ascontiguousarray(features[np.sort(rows)])
        return self.save(f"{path.stem}_initial_{num_clusters}", centroids), centroids

    def moved_centroids(self, path, num_clusters):
        """Centroids as they are during k-means, after two iterations."""
        _, centroids = self.initial_centroids(path, num_clusters)
        features = np.load(path)
        for _ in range(2):
            index = faiss.IndexFlatL2(DIM)
            index.add(centroids)
            labels = index.search(features, 1)[1][:, 0]
            order = np.argsort(labels, kind="stable")
            present, starts = np.unique(labels[order], return_index=True)
            sums = np.add.reduceat(features[order], starts)
            centroids[present] = sums / np.diff(np.append(starts, len(labels)))[:, None].astype(np.float32)
        return self.save(f"{path.stem}_moved_{num_clusters}", centroids), centroids

    @cached_property
    def raw_features(self):
        """Rows like those of a network, [n, 4096]: a few strong directions, a long tail, and a mean."""
        rng = np.random.default_rng(5)
        num_rows, dim, num_directions = self.num_rows(20_000), 4096, 1024
        deviations = 50 / np.arange(1, num_directions + 1, dtype=np.float32)
        directions = rng.standard_normal((num_directions, dim), np.float32) / np.float32(dim**0.5)
        rows = rng.standard_normal((num_rows, num_directions), np.float32) * deviations @ directions
        rows += np.float32(1e-3) * rng.standard_normal((num_rows, dim), np.float32)
        rows += rng.standard_normal(dim, np.float32)
        return self.save("raw_features", rows), rows

    @cached_property
    def neighbor_graph(self):
        """The five nearest neighbours of points in space, where an index finds a million of them in seconds."""
        rng = np.random.default_rng(6)
        num_rows = self.num_rows(1_000_000)
        points = rng.standard_normal((num_rows // 100, 3))[rng.integers(num_rows // 100, size=num_rows)]
        points += 0.05 * rng.standard_normal(points.shape)
        distances, ids = cKDTree(points).query(points, 6, workers=-1)
        ids, squared_distances = drop_self(ids, distances**2)
        squared_distances *= FIFTH_NEIGHBOR_SQUARED_DISTANCE / np.median(squared_distances[:, -1])
        return (
            self.save("graph_ids", ids.astype(np.uint32)),
            self.save("graph_squared_distances", squared_distances.astype(np.float32)),
        )

    @cached_property
    def labellings(self):
        """Two labellings with 10,000 labels each that agree on three samples of five, like those of two epochs."""
        rng = np.random.default_rng(7)
        num_labels, num_samples = 10_000, self.num_rows(1_281_167)
        first = rng.integers(num_labels, size=num_samples)
        second = np.where(
            rng.random(num_samples) < 0.6,
            rng.permutation(num_labels)[first],
            rng.integers(num_labels, size=num_samples),
        )
        first, second = first.astype(np.uint32), second.astype(np.uint32)
        return self.save("first_labels", first), self.save("second_labels", second), first, second


def drop_self(ids, values):
    """Both without the entry of the row itself, or without the last one where others are as near as itself."""
    is_kept = ids != np.arange(len(ids))[:, None]
    is_kept[is_kept.all(1), -1] = False
    shape = (len(ids), ids.shape[1] - 1)
    return ids[is_kept].reshape(shape), values[is_kept].reshape(shape)
