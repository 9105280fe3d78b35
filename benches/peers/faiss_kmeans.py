"""k-means of faiss as the original DeepCluster code sets it, from given centroids.

    pip install numpy faiss-cpu
    python benches/peers/faiss_kmeans.py features.npy centroids.npy --iterations 20 [--mapped]

Prints one JSON line. With --mapped the features stay in their file, from where faiss reads them.
"""

import argparse
import json
import time
from pathlib import Path

import faiss
import numpy as np


def faiss_kmeans(features, centroids, iterations):
    """The labels after the pass that follows the last iteration, their objective and the iterations made."""
    num_clusters, dim = centroids.shape
    clustering = faiss.Clustering(dim, num_clusters)
    clustering.niter = iterations
    clustering.min_points_per_centroid = 1  # below, it only warns
    clustering.max_points_per_centroid = 10_000_000  # all rows, no subsample
    faiss.copy_array_to_vector(centroids.ravel(), clustering.centroids)
    index = faiss.IndexFlatL2(dim)
    clustering.train(features, index)
    squared_distances, labels = index.search(features, 1)
    return labels[:, 0], squared_distances.sum(dtype=np.float64), clustering.iteration_stats.size()


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("features", type=Path)
    parser.add_argument("centroids", type=Path)
    parser.add_argument("--iterations", type=int, default=20)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--mapped", action="store_true")
    options = parser.parse_args()
    faiss.omp_set_num_threads(options.threads)
    features = np.load(options.features, mmap_mode="r" if options.mapped else None)
    centroids = np.load(options.centroids)
    start = time.perf_counter()
    _, objective, iterations = faiss_kmeans(features, centroids, options.iterations)
    seconds = time.perf_counter() - start
    print(json.dumps({"seconds": seconds, "objective": float(objective), "iterations": iterations}), flush=True)


if __name__ == "__main__":
    main()
