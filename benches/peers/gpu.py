"""Training, features and k-means of this project beside PyTorch on one NVIDIA GPU, and whether GPU and host agree.

    python benches/peers/gpu.py --runner RUNNER

RUNNER is the example `gpu_runner`, built with the feature `cuda` or `cuda-nvrtc`. Needs PyTorch with CUDA and NumPy; faiss with GPUs
and flash-kmeans are used where they can be imported. All of it takes at most 10 minutes (`--minutes`): what does not fit is
named and left out. `README.md` says what each key measures.
"""

import argparse
import importlib.util
import json
import statistics
import subprocess
import sys
import tempfile
import time
import types
from pathlib import Path

import numpy as np

KEYS = ["parity", "kmeans", "train-alexnet", "features-alexnet", "train-vgg16", "features-vgg16"]
SIZE, NUM_CLUSTERS = 224, 10_000
BATCH = {"alexnet": 256, "vgg16": 64}
STEPS = {"alexnet": 20, "vgg16": 10}
# The features of ImageNet after whitening.
ROWS, DIM, ITERATIONS = 1_281_167, 256, 20


def parse_options():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--runner", type=Path, required=True)
    parser.add_argument("--device", default="cuda:0", help="as `deepcluster devices` names it")
    parser.add_argument("--only", nargs="+", choices=KEYS, default=KEYS, metavar="KEY", help=f"of {', '.join(KEYS)}")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--rows", type=int, default=ROWS, help="rows of k-means")
    parser.add_argument("--minutes", type=float, default=10)
    parser.add_argument("--without-peer", action="store_true", help="this project alone, for devices that PyTorch lacks")
    parser.add_argument("--out", type=Path, help="file for the results, .json")
    return parser.parse_args()


class Side:
    """The runner, which is asked over stdin, one line of JSON each."""

    def __init__(self, options):
        command = [str(options.runner), options.device]
        self.process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)

    def ask(self, **request):
        print(json.dumps(request), file=self.process.stdin, flush=True)
        answer = self.process.stdout.readline()
        if not answer:
            raise RuntimeError(f"the runner ended at {request}")
        return json.loads(answer)

    def end(self):
        self.process.stdin.close()
        self.process.wait()


class Report:
    def __init__(self, options):
        self.end, self.lines, self.out = time.monotonic() + 60 * options.minutes, [], options.out

    def left(self):
        return self.end - time.monotonic()

    def add(self, key, **values):
        self.lines.append({"key": key, **values})
        print(key, json.dumps(values), flush=True)
        if self.out:
            self.out.write_text(json.dumps(self.lines, indent=1) + "\n")

    def fits(self, key, seconds):
        if self.left() < seconds:
            self.add(key, left_out=f"{self.left():.0f} s are left, about {seconds} are needed")
        return self.left() >= seconds


def write_rows(path, rows, dim, seed=1):
    """Unit rows of 2,000 groups, the members of one with a correlation of 0.3."""
    generator = np.random.default_rng(seed)
    centers = generator.standard_normal((2000, dim), dtype=np.float32)
    with open(path, "wb") as file:
        for first in range(0, rows, 1 << 17):
            count = min(rows - first, 1 << 17)
            part = generator.standard_normal((count, dim), dtype=np.float32) * np.float32(0.7**0.5)
            part += np.float32(0.3**0.5) * centers[generator.integers(0, len(centers), count)]
            part /= np.linalg.norm(part, axis=1, keepdims=True)
            file.write(part.tobytes())


# ---- the peer ----


def peer_networks():
    if importlib.util.find_spec("faiss") is None:
        # The networks do not need it.
        sys.modules["faiss"] = types.ModuleType("faiss")
    sys.path.insert(0, str(Path(__file__).resolve().parent))
    import pytorch_networks

    return pytorch_networks


def peer_training(architecture, batch, precision, compiled, steps, rounds):
    """Images a second of training and of features; TF32 is on, as in this project's single precision."""
    import torch
    from torch import nn

    torch.backends.cuda.matmul.allow_tf32 = torch.backends.cudnn.allow_tf32 = True
    torch.backends.cudnn.benchmark = True
    training = peer_networks().Training(architecture, SIZE, batch, NUM_CLUSTERS)
    network, images, targets = training.network.cuda(), training.images.cuda(), training.targets.cuda()
    model = torch.compile(network) if compiled else network
    features = torch.compile(network.forward_features) if compiled else network.forward_features
    sgd = [
        torch.optim.SGD(network.trunk_parameters(), lr=0.05, momentum=0.9, weight_decay=1e-5),
        torch.optim.SGD(network.head.parameters(), lr=0.05, weight_decay=1e-5),
    ]

    def cast():
        return torch.autocast("cuda", torch.bfloat16, enabled=precision == "bf16")

    def train():
        network.train()
        for _ in range(steps):
            with cast():
                loss = nn.functional.cross_entropy(model(images), targets)
            for optimizer in sgd:
                optimizer.zero_grad()
            loss.backward()
            for optimizer in sgd:
                optimizer.step()
        return loss.item()

    @torch.no_grad()
    def extract():
        network.eval()
        for _ in range(steps):
            with cast():
                mean = features(images).mean()
        return mean.item()

    speeds = []
    for work in (train, extract):
        work()
        torch.cuda.synchronize()
        speeds.append(median_speed(lambda work=work: (work(), torch.cuda.synchronize()), batch * steps, rounds))
    return speeds


def median_speed(work, images, rounds):
    seconds = []
    for _ in range(rounds):
        start = time.perf_counter()
        work()
        seconds.append(time.perf_counter() - start)
    return images / statistics.median(seconds)


def peer_kmeans(path, dim, precision):
    """Seconds of Lloyd's iterations from the first rows, by matrix products in pieces, and the inertia before the last."""
    import torch

    torch.backends.cuda.matmul.allow_tf32 = precision == "tf32"
    rows = torch.from_numpy(np.fromfile(path, dtype=np.float32).reshape(-1, dim)).cuda()
    data = rows.bfloat16() if precision == "bf16" else rows
    ones = torch.ones(len(rows), device="cuda")

    def run():
        centroids = rows[:NUM_CLUSTERS].clone()
        for _ in range(ITERATIONS):
            half = centroids.square().sum(1) / 2
            labels = torch.cat([
                (half - (part @ centroids.to(part.dtype).T).float()).argmin(1) for part in data.split(1 << 14)
            ])
            sums = torch.zeros_like(centroids).index_add_(0, labels, rows)
            sizes = torch.zeros(NUM_CLUSTERS, device="cuda").index_add_(0, labels, ones)
            inertia = (rows - centroids[labels]).square().sum()
            centroids = torch.where(sizes[:, None] > 0, sums / sizes.clamp(min=1)[:, None], centroids)
        return inertia.item()

    run()
    torch.cuda.synchronize()
    start = time.perf_counter()
    inertia = run()
    return time.perf_counter() - start, inertia


def other_kmeans(path, dim):
    """Seconds of the libraries that can be imported."""
    seconds = {}
    rows = np.fromfile(path, dtype=np.float32).reshape(-1, dim)
    if importlib.util.find_spec("faiss"):
        import faiss

        if getattr(faiss, "get_num_gpus", lambda: 0)() > 0:
            clustering = faiss.Clustering(dim, NUM_CLUSTERS)
            clustering.niter, clustering.max_points_per_centroid = ITERATIONS, 10_000_000
            index = faiss.GpuIndexFlatL2(faiss.StandardGpuResources(), dim)
            start = time.perf_counter()
            clustering.train(rows, index)
            seconds["faiss"] = time.perf_counter() - start
    if importlib.util.find_spec("flash_kmeans"):
        import torch
        from flash_kmeans import batch_kmeans_Euclid

        data = torch.from_numpy(rows).cuda()[None]
        initial = data[:, :NUM_CLUSTERS].clone()
        batch_kmeans_Euclid(data, NUM_CLUSTERS, max_iters=1, init_centroids=initial)
        torch.cuda.synchronize()
        start = time.perf_counter()
        batch_kmeans_Euclid(data, NUM_CLUSTERS, max_iters=ITERATIONS, tol=-1.0, init_centroids=initial)
        torch.cuda.synchronize()
        seconds["flash-kmeans"] = time.perf_counter() - start
    return seconds


# ---- comparisons ----


def compare_networks(options, report, architecture, keys):
    batch, steps = BATCH[architecture], STEPS[architecture]
    for precision in ("f32", "bf16"):
        if not report.fits(f"{architecture}-{precision}", 60):
            return
        side = Side(options)
        speeds = {}
        try:
            side.ask(key="setup", architecture=architecture, size=SIZE, batch=batch, clusters=NUM_CLUSTERS, precision=precision)
            for key in ("train", "features"):
                # The first finds the fastest kernels.
                side.ask(key=key, repeats=3)
                answers = [side.ask(key=key, repeats=steps)["seconds"] for _ in range(options.rounds)]
                speeds[key] = batch * steps / statistics.median(answers)
            side.end()
        except RuntimeError as error:
            report.add(f"{architecture}-{precision}", failed=str(error))
            continue
        peers = {}
        for compiled in () if options.without_peer else (False, True):
            if report.left() < 60:
                break
            name = "compiled" if compiled else "eager"
            try:
                train, features = peer_training(architecture, batch, precision, compiled, steps, options.rounds)
            except Exception as error:  # the peer's trouble, which must not cost the other figures
                report.add(f"{architecture}-{precision}-pytorch-{name}", failed=repr(error)[:300])
                continue
            peers[name] = {"train": train, "features": features}
        for key in ("train", "features"):
            if f"{key}-{architecture}" not in keys:
                continue
            values = {"images_per_second": round(speeds[key], 1)}
            for name, peer in peers.items():
                values |= {f"pytorch_{name}": round(peer[key], 1), f"ratio_{name}": round(speeds[key] / peer[key], 2)}
            report.add(f"{key}-{architecture}-{precision}", **values)


def compare_kmeans(options, report, folder):
    path = folder / "rows.f32"
    write_rows(path, options.rows, DIM)
    clusters = min(NUM_CLUSTERS, options.rows)
    side = Side(options)
    side.ask(key="rows", file=str(path), dim=DIM)
    side.ask(key="kmeans", clusters=clusters, iterations=1)
    answer = side.ask(key="kmeans", clusters=clusters, iterations=ITERATIONS)
    side.end()
    passes = answer["iterations"] + 1
    values = {
        "seconds": round(answer["work_seconds"], 3),
        "tflops": round(2e-12 * options.rows * DIM * clusters * passes / answer["work_seconds"], 1),
        "inertia": answer["inertia"],
    }
    if not options.without_peer:
        for precision in ("f32", "tf32", "bf16"):
            if report.left() < 30:
                break
            seconds, inertia = peer_kmeans(path, DIM, precision)
            values |= {f"pytorch_{precision}": round(seconds, 3), f"ratio_{precision}": round(seconds / answer["work_seconds"], 2)}
            values[f"inertia_{precision}"] = inertia
    report.add("kmeans", **values)
    if not options.without_peer and report.left() > 120:
        try:
            report.add("kmeans-others", **{name: round(seconds, 3) for name, seconds in other_kmeans(path, DIM).items()})
        except Exception as error:
            report.add("kmeans-others", failed=repr(error)[:300])


def check_parity(options, report, folder):
    path = folder / "few.f32"
    write_rows(path, 5000, DIM, seed=2)
    side = Side(options)
    side.ask(key="rows", file=str(path), dim=DIM)
    answer = side.ask(key="kmeans", clusters=100, iterations=10, compare=True)
    report.add("parity-kmeans", same_labels=answer["same_labels"], same_centroids=answer["same_centroids"])
    answer = side.ask(key="parity")
    del answer["seconds"]
    report.add("parity-whitening", **answer)
    side.end()


def main():
    options = parse_options()
    report = Report(options)
    side = Side(options)
    report.add("devices", names=side.ask(key="devices")["devices"], chosen=options.device)
    side.end()
    with tempfile.TemporaryDirectory() as folder:
        folder = Path(folder)
        if "parity" in options.only:
            check_parity(options, report, folder)
        if "kmeans" in options.only and report.fits("kmeans", 90):
            compare_kmeans(options, report, folder)
    for architecture in ("alexnet", "vgg16"):
        keys = [key for key in options.only if key.endswith(architecture)]
        if keys:
            compare_networks(options, report, architecture, keys)
    wrong = [line["key"] for line in report.lines if line.get("same_labels") is False or line.get("same_centroids") is False]
    if wrong:
        sys.exit(f"WRONG: {', '.join(wrong)}")


if __name__ == "__main__":
    main()
