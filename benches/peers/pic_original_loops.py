"""Power Iteration Clustering of a given neighbour graph as the original DeepCluster code ran it, as a peer to time.

    pip install numpy scipy
    python benches/peers/pic_original_loops.py ids.npy squared_distances.npy
    python benches/peers/pic_original_loops.py graph.npz --labels labels.npy

Both arrays are [num_samples, num_neighbors], nearest first, a sample never among its own neighbours; a .npz file holds
them as `ids` and `squared_distances`. As in the original, sparse products run in scipy and everything per sample in
Python loops, and all 200 iterations are made. Prints the seconds of each step, of all, and the number of clusters.
The counterpart here is `Pic::cluster_graph`, which computes in float64; the original in the type of its distances.
"""

import argparse
import time

import numpy as np
from scipy.sparse import csr_matrix


def parse_options():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("ids", help=".npy of the neighbours, or .npz of both arrays")
    parser.add_argument("squared_distances", nargs="?", help=".npy of the squared distances")
    parser.add_argument("--sigma", type=float, default=0.2)
    parser.add_argument("--alpha", type=float, default=0.001)
    parser.add_argument("--iterations", type=int, default=200)
    parser.add_argument("--dtype", choices=["float32", "float64"], default="float64")
    parser.add_argument("--labels", help="where to save the cluster of each sample, .npy")
    options = parser.parse_args()
    if options.squared_distances is None and not options.ids.endswith(".npz"):
        parser.error("give a .npz file, or two .npy files")
    return options


def affinities(ids, squared_distances, sigma):
    """W = A + A^T with A_ij = exp(-D_ij / sigma^2) for the neighbours j of i."""
    num_samples, num_neighbors = ids.shape
    row_ends = num_neighbors * np.arange(num_samples + 1)
    # The original applies the kernel value by value.
    kernel = np.vectorize(lambda squared_distance: np.exp(-squared_distance / sigma**2))
    weights = kernel(squared_distances)
    one_way = csr_matrix((weights.ravel(), ids.ravel(), row_ends), shape=(num_samples, num_samples))
    both_ways = (one_way + one_way.T).tocsr()
    both_ways.sort_indices()
    return both_ways


def power_iteration(graph, alpha, num_iterations, dtype):
    num_samples = graph.shape[0]
    values = np.full(num_samples, 1 / num_samples, dtype)
    transposed = graph.T
    for _ in range(num_iterations):
        values = alpha * transposed.dot(values) + np.asarray((1 - alpha) / num_samples, dtype)
        values /= np.abs(values).sum()
    return values


def climb(graph, values):
    """The local maximum that each sample reaches, numbered in ascending order."""
    num_samples = graph.shape[0]
    pointers = list(range(num_samples))
    for i in range(num_samples):
        best = 0
        for entry in range(graph.indptr[i], graph.indptr[i + 1]):
            j = graph.indices[entry]
            gain = graph.data[entry] * (values[j] - values[i])
            if gain > best:
                best = gain
                pointers[i] = j
    numbers = [-1] * num_samples
    num_clusters = 0
    for i in range(num_samples):
        if pointers[i] == i:
            numbers[i] = num_clusters
            num_clusters += 1
    labels = [0] * num_samples
    for i in range(num_samples):
        node = i
        while pointers[node] != node:
            node = pointers[node]
        labels[i] = numbers[node]
    return labels, num_clusters


def join_singletons(ids, labels, num_clusters):
    """Samples alone in their cluster join that of their first neighbour which is not; emptied clusters vanish."""
    members = [[] for _ in range(num_clusters)]
    for i, label in enumerate(labels):
        members[label].append(i)
    joined = list(labels)
    for group in members:
        if len(group) == 1:
            for j in ids[group[0]]:
                if len(members[labels[j]]) > 1:
                    joined[group[0]] = labels[j]
                    break
    return np.unique(joined, return_inverse=True)[1]


def main():
    options = parse_options()
    if options.squared_distances is None:
        arrays = np.load(options.ids)
        ids, squared_distances = arrays["ids"], arrays["squared_distances"]
    else:
        ids, squared_distances = np.load(options.ids), np.load(options.squared_distances)
    squared_distances = squared_distances.astype(options.dtype)
    times = [time.perf_counter()]
    graph = affinities(ids, squared_distances, options.sigma)
    times.append(time.perf_counter())
    values = power_iteration(graph, options.alpha, options.iterations, options.dtype)
    times.append(time.perf_counter())
    labels, num_clusters = climb(graph, values)
    times.append(time.perf_counter())
    labels = join_singletons(ids, labels, num_clusters)
    times.append(time.perf_counter())
    for step, seconds in zip(["affinities", "power iteration", "maxima", "singletons"], np.diff(times)):
        print(f"{step}: {seconds:.2f} s")
    print(f"all: {times[-1] - times[0]:.2f} s, {labels.max() + 1} clusters")
    if options.labels:
        np.save(options.labels, labels)


if __name__ == "__main__":
    main()
