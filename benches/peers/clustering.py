"""The clustering of this project beside its peers: faiss, scikit-learn and the loops of the original code.

    python3 -m venv peers && peers/bin/pip install numpy faiss-cpu scikit-learn scipy threadpoolctl
    peers/bin/python benches/peers/clustering.py

Builds `benches/peers/runner` and lets both sides do the same work on the same arrays in turn. The clock runs over all
that a caller waits for, only not over the reading of files. Prints a table of medians and ratios; a result that is
not that of the peer ends the program with status 1. `README.md` says what each key measures.
"""

import argparse
import importlib.metadata
import json
import os
import platform
import re
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Callable

import faiss
import numpy as np
from sklearn.cluster import KMeans
from sklearn.metrics import normalized_mutual_info_score
from threadpoolctl import threadpool_limits

from benchmark_data import BenchmarkData, drop_self
from faiss_kmeans import faiss_kmeans

HERE = Path(__file__).resolve().parent
NUM_ITERATIONS = 20
NUM_COMPONENTS = 256
NUM_NEIGHBORS = 5
# One iteration and the pass after it take as much memory as twenty.
MEMORY_CLUSTERS, MEMORY_ITERATIONS = 10_000, 1
# The slower crates run few iterations, from which the time of all is computed.
CRATE_ITERATIONS = {"linfa": 3, "fastkmeans": 20, "kmeans": 3}
# Worker threads of OpenMP and BLAS spin for a moment after their work and would slow the other side.
PAUSE_SECONDS = 0.2


def parse_options():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    keys = [*COMPARISONS, *EXTRAS]
    parser.add_argument("--only", nargs="+", choices=keys, metavar="KEY", default=list(COMPARISONS),
                        help=f"of {', '.join(keys)}; without it all but {' and '.join(EXTRAS)}")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--threads", type=int, default=2, help="of each side")
    parser.add_argument("--features", type=Path, help=".npy of real whitened rows of 256 values to resample")
    parser.add_argument("--scale", type=float, default=1.0, help="fraction of the rows, to try the program out")
    parser.add_argument("--out", type=Path, help="file for the results, .json or .md")
    options = parser.parse_args()
    if options.out and options.out.suffix not in (".json", ".md"):
        parser.error("--out names a .json or a .md file")
    return options


# ---- the two sides ----


@dataclass
class Peer:
    name: str
    run: Callable  # returns the result that `check` takes
    must: float | None = None
    aim: float | None = None
    most_rounds: int | None = None
    clock: Callable | None = None  # takes the seconds from the result, where the peer has its own clock


@dataclass
class Comparison:
    """`check` takes the answer of the runner and the result of a peer and returns values by name; `allowed` holds the
    lowest and the highest right value of each."""

    work: str
    request: dict
    peers: list
    check: Callable
    allowed: dict
    out: Path | None = None
    operations: float | None = None  # in floating point, where the rate is of interest


class Runner:
    """The side of this project, a process that is asked over stdin."""

    def __init__(self, threads):
        build = ["cargo", "build", "--release", "--quiet", "--message-format", "json-render-diagnostics"]
        messages = subprocess.run(build, cwd=HERE / "runner", check=True, stdout=subprocess.PIPE, text=True).stdout
        artifacts = [json.loads(line) for line in messages.splitlines()]
        program = next(artifact["executable"] for artifact in artifacts if artifact.get("executable"))
        environment = {**os.environ, "RAYON_NUM_THREADS": str(threads)}
        self.process = subprocess.Popen(
            [program], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env=environment
        )

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.process.stdin.close()
        self.process.wait()

    def ask(self, key, request, out=None):
        line = {"key": key, **request} | ({"out": out} if out else {})
        print(json.dumps(line, default=str), file=self.process.stdin, flush=True)
        answer = self.process.stdout.readline()
        if not answer:
            raise RuntimeError(f"the runner ended at {line}")
        answer = json.loads(answer)
        if "error" in answer:
            raise RuntimeError(f"{key}: {answer['error']}")
        return answer


# ---- comparisons ----


def equal_fraction(ours, theirs):
    return float(np.mean(ours == theirs))


def relative_difference(ours, theirs):
    return float(abs(ours - theirs) / abs(theirs))


def assignment(data, num_clusters, request_work="assign", must=None, aim=None):
    path, _ = data.features
    centroids_path, centroids = data.moved_centroids(path, num_clusters)
    features = np.load(path)
    out = data.folder / "labels.npy"

    def run():
        index = faiss.IndexFlatL2(features.shape[1])
        index.add(centroids)
        return index.search(features, 1)

    def check(answer, result):
        squared_distances, labels = result
        return {
            "equal labels": equal_fraction(np.load(out), labels[:, 0]),
            "objective per row": abs(answer["objective"] - squared_distances.sum(dtype=np.float64)) / len(features),
        }

    return Comparison(
        work=f"one assignment pass, {len(features):,} x {features.shape[1]}, k = {num_clusters:,}",
        request={"work": request_work, "features": path, "centroids": centroids_path},
        peers=[Peer("faiss IndexFlatL2", run, must, aim)],
        check=check,
        # The rows have unit norm; where each is a centroid, as at a small scale, all distances are rounding error.
        allowed={"equal labels": (0.999, 1), "objective per row": (0, 1e-5)},
        out=out,
        operations=2.0 * len(features) * features.shape[1] * num_clusters,
    )


def kmeans(data):
    path, groups = data.features
    num_clusters = round(1_000 * len(groups) / 100_000)  # as many rows a cluster at every scale
    centroids_path, centroids = data.initial_centroids(path, num_clusters)
    features = np.load(path)
    out = data.folder / "kmeans_labels.npy"

    def scikit_learn(algorithm):
        model = KMeans(num_clusters, init=centroids, n_init=1, max_iter=NUM_ITERATIONS, tol=0, algorithm=algorithm)
        model.fit(features)
        return model.labels_, model.inertia_, model.n_iter_

    def check(answer, result):
        labels, objective, iterations = result
        ours = np.load(out)
        nmi = normalized_mutual_info_score
        return {
            "equal labels": equal_fraction(ours, labels),
            "objective": relative_difference(answer["objective"], objective),
            "NMI to the groups": abs(nmi(groups, ours) - nmi(groups, labels)),
            "iterations": answer["iterations"],
            "iterations of the peer": iterations,
        }

    return Comparison(
        work=f"k-means, {len(features):,} x {features.shape[1]}, k = {num_clusters:,}, {NUM_ITERATIONS} iterations",
        request={
            "work": "kmeans", "features": path, "centroids": centroids_path, "iterations": NUM_ITERATIONS,
        },
        peers=[
            Peer("faiss Clustering", lambda: faiss_kmeans(features, centroids, NUM_ITERATIONS), 3, 4),
            Peer("scikit-learn lloyd", lambda: scikit_learn("lloyd"), 3, 4),
            Peer("scikit-learn elkan", lambda: scikit_learn("elkan"), 3, 4, most_rounds=1),
        ],
        check=check,
        # Rounding may move a row between two clusters, after which the runs drift apart a little. A side that had
        # converged earlier would have done less work.
        allowed={
            "equal labels": (0.95, 1), "objective": (0, 1e-3), "NMI to the groups": (0, 5e-3),
            "iterations": (NUM_ITERATIONS,) * 2, "iterations of the peer": (NUM_ITERATIONS,) * 2,
        },
        out=out,
    )


def whitening(data):
    path, features = data.raw_features
    out = data.folder / "whitened.npy"

    def run():
        pca = faiss.PCAMatrix(features.shape[1], NUM_COMPONENTS, -0.5)
        pca.train(features)
        return pca

    def check(answer, pca):
        ours = np.load(out).astype(np.float64)
        theirs = pca.apply(features).astype(np.float64)
        num_rows = len(features)
        theirs = (theirs - theirs.mean(0)) / theirs.std(0)
        centered = features - features.mean(0)
        captured = [np.square(centered.T @ rows.astype(np.float32) / num_rows).sum() for rows in (ours, theirs)]
        cosines = np.linalg.svd(ours.T @ theirs / num_rows, compute_uv=False)
        return {
            "common subspace": float(np.mean(np.minimum(cosines, 1) ** 2)),
            "captured variance": relative_difference(*captured),
            "distance to unit covariance": float(np.abs(ours.T @ ours / num_rows - np.eye(ours.shape[1])).max()),
        }

    return Comparison(
        work=f"PCA-whitening fit, {len(features):,} x {features.shape[1]:,} to {NUM_COMPONENTS}",
        request={"work": "whitening", "features": path, "components": NUM_COMPONENTS},
        peers=[Peer("faiss PCAMatrix", run, 20, 40, most_rounds=1)],
        check=check,
        # The peer sums in single precision, so that its last components are not quite the true ones.
        allowed={
            "common subspace": (0.99, 1), "captured variance": (0, 1e-3), "distance to unit covariance": (0, 1e-3),
        },
        out=out,
    )


def neighbors(data):
    path, _ = data.graph_features
    features = np.load(path)
    out = data.folder / "neighbors.npy"

    def run():
        index = faiss.IndexFlatL2(features.shape[1])
        index.add(features)
        return index.search(features, NUM_NEIGHBORS + 1)

    def check(answer, result):
        squared_distances, ids = result
        ids, squared_distances = drop_self(ids, squared_distances)
        return {
            "equal neighbours": equal_fraction(np.load(out), ids),
            "distances": relative_difference(answer["objective"], squared_distances.sum(dtype=np.float64)),
        }

    return Comparison(
        work=f"graph of {NUM_NEIGHBORS} nearest neighbours, {len(features):,} x {features.shape[1]}",
        request={"work": "knn", "features": path, "neighbors": NUM_NEIGHBORS},
        peers=[Peer("faiss IndexFlatL2", run, 2, 4)],
        check=check,
        allowed={"equal neighbours": (0.999, 1), "distances": (0, 1e-5)},
        out=out,
        operations=2.0 * len(features) ** 2 * features.shape[1],
    )


def power_iteration(data):
    ids, squared_distances = data.neighbor_graph
    out = data.folder / "pic_labels.npy"
    peer_out = data.folder / "pic_labels_of_the_peer.npy"

    def run():
        command = [sys.executable, HERE / "pic_original_loops.py", ids, squared_distances, "--labels", peer_out]
        return subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True).stdout

    def clock(printed):
        return float(re.search(r"^all: ([0-9.]+) s", printed, re.MULTILINE).group(1))

    def check(answer, printed):
        # Where two neighbours are equally high, rounding decides, and one label more renumbers all after it.
        return {"NMI": normalized_mutual_info_score(np.load(out), np.load(peer_out))}

    return Comparison(
        work=f"PIC of a given graph, {len(np.load(ids, mmap_mode='r')):,} samples, {NUM_NEIGHBORS} neighbours",
        request={"work": "pic", "ids": ids, "squared_distances": squared_distances},
        peers=[Peer("loops of the original code", run, 30, 100, most_rounds=3, clock=clock)],
        check=check,
        allowed={"NMI": (0.99999, 1 + 1e-9)},
        out=out,
    )


def mutual_information(data):
    first_path, second_path, first, second = data.labellings

    def check(answer, nmi):
        return {"NMI": abs(answer["nmi"] - nmi)}

    return Comparison(
        work=f"NMI, {len(first):,} samples, 10,000 x 10,000 labels",
        request={"work": "nmi", "first": first_path, "second": second_path},
        peers=[Peer("scikit-learn", lambda: normalized_mutual_info_score(first, second), 8, 20)],
        check=check,
        allowed={"NMI": (0, 1e-9)},
    )


COMPARISONS = {
    "assign-k10000": partial(assignment, num_clusters=10_000, must=3, aim=4.5),
    "assign-k1000": partial(assignment, num_clusters=1_000, must=2.5, aim=4),
    "kmeans": kmeans,
    # The aim of this kernel is 75 % of the peak of the processor, which is measured beside it.
    "f32-kernel": partial(assignment, num_clusters=10_000, request_work="assign-f32", must=1.15),
    "whitening": whitening,
    "knn": neighbors,
    "pic": power_iteration,
    "nmi": mutual_information,
}


@dataclass
class Result:
    key: str
    work: str
    peer: str
    must: float | None
    aim: float | None
    ours: list = field(default_factory=list)  # seconds of each round
    theirs: list = field(default_factory=list)
    checks: dict = field(default_factory=dict)  # of the last round
    wrong: list = field(default_factory=list)
    operations: float | None = None
    peak_gflops: float | None = None

    @property
    def ratio(self):
        return statistics.median(self.theirs) / statistics.median(self.ours)

    @property
    def verdict(self):
        if self.wrong:
            return "WRONG"
        if self.must is None:
            return ""
        if self.ratio < self.must:
            return "below"
        return "aim" if self.aim is not None and self.ratio >= self.aim else "must"


def measure(key, comparison, runner, options):
    """One result for each peer."""
    results = [
        Result(key, comparison.work, peer.name, peer.must, peer.aim, operations=comparison.operations)
        for peer in comparison.peers
    ]
    peaks = []
    for round_number in range(options.rounds):
        answer, found = None, {}
        sides = [None, *comparison.peers]
        if round_number % 2:
            sides.reverse()
        for peer in sides:
            if peer is None:
                if key == "f32-kernel":
                    peaks.append(peak_gflops(runner, options.threads))
                answer = runner.ask(key, comparison.request, comparison.out)
            elif peer.most_rounds is None or round_number < peer.most_rounds:
                found[peer.name] = timed(peer)
            time.sleep(PAUSE_SECONDS)
        for result in results:
            result.ours.append(answer["seconds"])
            if result.peer in found:
                seconds, output = found[result.peer]
                result.theirs.append(seconds)
                result.checks = comparison.check(answer["check"], output)
                result.wrong += wrong_values(result.checks, comparison.allowed, round_number)
        line = "; ".join(f"{name} {seconds:.3f} s" for name, (seconds, _) in found.items())
        print(f"{key}, round {round_number + 1}: ours {answer['seconds']:.3f} s; {line}", flush=True)
    for result in results:
        result.peak_gflops = statistics.median(peaks) if peaks and None not in peaks else None
    return results


def timed(peer):
    start = time.perf_counter()
    output = peer.run()
    seconds = time.perf_counter() - start
    return (peer.clock(output) if peer.clock else seconds), output


def wrong_values(values, allowed, round_number):
    return [
        f"round {round_number + 1}: {name} = {values[name]:.6g}, allowed {low:g} to {high:g}"
        for name, (low, high) in allowed.items()
        if not low <= values[name] <= high
    ]


def peak_gflops(runner, threads):
    return runner.ask("peak", {"work": "peak", "threads": threads})["check"]["gflops"]


# ---- what is measured apart from the ratios ----


class PeakMemory:
    """The most memory a process takes, watched from outside: all of it, and the part that no file backs."""

    def __init__(self, pid):
        self.status = Path(f"/proc/{pid}/status")
        self.all = self.anonymous = 0
        self.is_over = threading.Event()
        self.thread = threading.Thread(target=self.watch)

    def __enter__(self):
        self.thread.start()
        return self

    def __exit__(self, *_):
        self.is_over.set()
        self.thread.join()

    def watch(self):
        while not self.is_over.wait(0.02):
            try:
                fields = dict(line.split(":", 1) for line in self.status.read_text().splitlines())
                self.all = max(self.all, int(fields["VmHWM"].split()[0]) * 1024)
                self.anonymous = max(self.anonymous, int(fields["RssAnon"].split()[0]) * 1024)
            except (OSError, KeyError):  # the process is ending
                return


def memory(data, options):
    """Peak memory of both sides at the size of ImageNet, with the features in memory and in their file."""
    path, _ = data.full_features
    centroids, _ = data.initial_centroids(path, MEMORY_CLUSTERS)
    num_rows, dim = np.load(path, mmap_mode="r").shape
    lines = [
        f"Peak memory, k-means, {num_rows:,} x {dim}, k = {MEMORY_CLUSTERS:,}, {MEMORY_ITERATIONS} iteration and the "
        f"pass after it; the features take {path.stat().st_size / 2**20:,.0f} MiB:",
        "",
        "| side | features | peak, MiB | not backed by a file, MiB | seconds |",
        "|---|---|---|---|---|",
    ]
    request = {"features": path, "centroids": centroids, "iterations": MEMORY_ITERATIONS}
    for is_mapped in (False, True):
        place = "in their file" if is_mapped else "in memory"
        for side, measured in [
            ("ours", memory_of_ours(is_mapped, request, data.folder / "memory_labels.npy", options.threads)),
            ("faiss", memory_of_faiss(is_mapped, path, centroids, options.threads)),
        ]:
            values = "{:,.0f} | {:,.0f} | {:.1f}".format(*measured)
            lines.append(f"| {side} | {place} | {values} |")
    return lines


def memory_of_ours(is_mapped, request, out, threads):
    work = "kmeans-file" if is_mapped else "kmeans"
    with Runner(threads) as runner, PeakMemory(runner.process.pid) as peak:
        answer = runner.ask("memory", {"work": work, **request}, out)
    return peak.all / 2**20, peak.anonymous / 2**20, answer["seconds"]


def memory_of_faiss(is_mapped, features, centroids, threads):
    command = [
        sys.executable, HERE / "faiss_kmeans.py", features, centroids,
        "--iterations", str(MEMORY_ITERATIONS), "--threads", str(threads), *(["--mapped"] if is_mapped else []),
    ]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process, PeakMemory(process.pid) as peak:
        answer = json.loads(process.stdout.read())
    return peak.all / 2**20, peak.anonymous / 2**20, answer["seconds"]


def rust_crates(data, options):
    """k-means of other Rust crates, each in a program of its own as some do not build on every compiler."""
    path, groups = data.features
    centroids, _ = data.initial_centroids(path, round(1_000 * len(groups) / 100_000))
    lines = [
        f"k-means of Rust crates, the work of the key kmeans; where fewer iterations were run, the time of "
        f"{NUM_ITERATIONS} and the pass after them is computed from theirs:",
        "",
        f"| crate | iterations | measured, s | for {NUM_ITERATIONS} iterations, s | objective |",
        "|---|---|---|---|---|",
    ]
    environment = {**os.environ, "RAYON_NUM_THREADS": str(options.threads)}
    for crate, iterations in CRATE_ITERATIONS.items():
        command = ["cargo", "run", "--release", "--quiet", "--features", crate, "--bin", f"run-{crate}", "--"]
        command += [path, centroids, str(iterations), str(options.threads)]
        run = subprocess.run(command, cwd=HERE / "rust-crates", env=environment, stdout=subprocess.PIPE, text=True)
        if run.returncode:
            lines.append(f"| {crate} | does not build or run here, see README.md | | | |")
            continue
        answer = json.loads(run.stdout)
        seconds = answer["seconds"] / answer["passes"] * (NUM_ITERATIONS + 1)
        lines.append(
            f"| {answer['crate']} | {iterations} | {answer['seconds']:.2f} | {seconds:.1f} "
            f"| {answer['objective']:.6g} |"
        )
    return lines


EXTRAS = {"memory": memory, "rust-crates": rust_crates}


# ---- report ----


def machine(options):
    models = re.findall(r"^model name\s*: (.*)$", Path("/proc/cpuinfo").read_text(), re.MULTILINE)
    packages = ["faiss-cpu", "scikit-learn", "scipy", "numpy"]
    versions = ", ".join(f"{name} {importlib.metadata.version(name)}" for name in packages)
    rustc = subprocess.run(["rustc", "--version"], check=True, stdout=subprocess.PIPE, text=True).stdout.strip()
    return [
        f"- {models[0] if models else platform.processor()}, {os.cpu_count()} cores; {options.threads} threads a side",
        f"- {versions}; Python {platform.python_version()}; {rustc}",
        f"- faiss: {faiss.get_compile_options().strip()}",
        f"- features: {options.features.name + ', resampled' if options.features else 'synthetic'}"
        + (f"; scale {options.scale:g}, the ratios do not count" if options.scale != 1 else ""),
    ]


def table(results):
    lines = [
        "| key | work | peer | ours, s | peer, s | ratio | rounds | must | aim | |",
        "|---|---|---|---|---|---|---|---|---|---|",
    ]
    for result in results:
        ratios = [theirs / ours for ours, theirs in zip(result.ours, result.theirs)]
        must, aim = (f"{value:g}x" if value else "" for value in (result.must, result.aim))
        ours, theirs = statistics.median(result.ours), statistics.median(result.theirs)
        lines.append(
            f"| {result.key} | {result.work} | {result.peer} | {ours:.3f} | {theirs:.3f} | **{result.ratio:.2f}x** "
            f"| {min(ratios):.2f} to {max(ratios):.2f} ({len(ratios)}) | {must} | {aim} | {result.verdict} |"
        )
    return lines


def rates(results):
    """Products and sums of the work by its time; what is scanned in integers counts as if it were floating point."""
    for result in results:
        if result.operations:
            ours, theirs = (
                result.operations / statistics.median(seconds) / 1e9 for seconds in (result.ours, result.theirs)
            )
            line = f"{result.key}: ours {ours:.0f} GFLOP/s; {result.peer} {theirs:.0f} GFLOP/s"
            if result.peak_gflops:
                peak = result.peak_gflops
                line += f"; peak {peak:.0f} GFLOP/s, of which ours {ours / peak:.0%}, {result.peer} {theirs / peak:.0%}"
            yield line


def checks(results):
    for result in results:
        values = ", ".join(f"{name} {value:.6g}" for name, value in result.checks.items())
        yield f"{result.key}, {result.peer}: {values}"
        yield from (f"WRONG {result.key}, {result.peer}: {line}" for line in result.wrong)


def as_json(results, lines):
    return json.dumps(
        {
            "machine": lines["machine"],
            "results": [vars(result) | {"ratio": result.ratio, "verdict": result.verdict} for result in results],
            "extras": lines["extras"],
        },
        indent=1,
    )


def main():
    options = parse_options()
    faiss.omp_set_num_threads(options.threads)
    threadpool_limits(options.threads)
    source = np.ascontiguousarray(np.load(options.features), np.float32) if options.features else None
    lines = {"machine": machine(options), "extras": []}
    print("\n".join(lines["machine"]), flush=True)
    results = []
    with tempfile.TemporaryDirectory() as folder:
        data = BenchmarkData(Path(folder), options.scale, source)
        for key in options.only:
            if key in EXTRAS:
                lines["extras"] += ["", *EXTRAS[key](data, options)]
                continue
            with Runner(options.threads) as runner:
                results += measure(key, COMPARISONS[key](data), runner, options)
    report = list(lines["machine"])
    if results:
        report += ["", *table(results), "", *rates(results), "", "Last checks:", *checks(results)]
    report = "\n".join(report + lines["extras"])
    print(f"\n{report}")
    if options.out:
        options.out.write_text(as_json(results, lines) if options.out.suffix == ".json" else f"{report}\n")
    sys.exit(any(result.wrong for result in results))


if __name__ == "__main__":
    main()
