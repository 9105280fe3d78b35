"""Training, features and data loading of this project beside PyTorch, torchvision and faiss, on the CPU.

    python3 -m venv peers && peers/bin/pip install numpy torch torchvision faiss-cpu
    peers/bin/python benches/peers/networks.py --images FOLDER

Builds the program and the example `networks_runner`, and lets both sides do the same work in turn. Prints a table of
medians and ratios. `README.md` says what each key measures.
"""

import argparse
import json
import math
import os
import platform
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

HERE = Path(__file__).resolve().parent
ROOT = HERE.parents[1]
# Worker threads of OpenMP spin for a moment after their work and would slow the other side.
PAUSE_SECONDS = 0.3
# Least ratio asked for, and what is aimed at.
TARGETS = {
    "train-alexnet": (1.1, 1.4), "features-alexnet": (1.4, 1.8), "train-vgg16": (1.0, None), "features-vgg16": (1.0, None),
    "load": (2.5, 4.0), "epoch": (1.3, 1.8), "memory-train": (2.0, None), "memory-epoch": (2.0, None),
}
KEYS = ["train-alexnet", "features-alexnet", "train-vgg16", "features-vgg16", "load", "epoch"]
NUM_CLUSTERS = 100
# Images that are loaded in a round.
LOADED_IMAGES = 1000
# Images of a step: VGG-16 needs more than ten times the work of AlexNet.
BATCH = {"alexnet": 32, "vgg16": 8}
SIZE = 224


def parse_options():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--images", type=Path, required=True, help="folder of JPEG images, for the epoch")
    parser.add_argument("--photos", type=Path, help="folder of JPEG images to load, at any depth; without it --images")
    parser.add_argument("--only", nargs="+", choices=KEYS, default=KEYS, metavar="KEY", help=f"of {', '.join(KEYS)}")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--threads", type=int, default=2, help="of each side")
    parser.add_argument("--epoch-images", type=int, default=2000, help="images of the epoch")
    parser.add_argument("--out", type=Path, help="file for the results, .json or .md")
    options = parser.parse_args()
    if options.out and options.out.suffix not in (".json", ".md"):
        parser.error("--out names a .json or a .md file")
    return options


# ---- the two sides ----


def build():
    """The runner and the program."""
    command = ["cargo", "build", "--release", "--quiet", "--workspace", "--examples", "--bins",
               "--message-format", "json-render-diagnostics"]
    messages = subprocess.run(command, cwd=ROOT, check=True, stdout=subprocess.PIPE, text=True).stdout
    programs = {}
    for line in messages.splitlines():
        artifact = json.loads(line)
        if artifact.get("executable"):
            programs[artifact["target"]["name"]] = artifact["executable"]
    return programs["networks_runner"], programs["deepcluster"]


class Side:
    """A process that is asked over stdin, one line of JSON each."""

    def __init__(self, command, environment):
        self.process = subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env={**os.environ, **environment}
        )

    def ask(self, **request):
        print(json.dumps(request), file=self.process.stdin, flush=True)
        answer = self.process.stdout.readline()
        if not answer:
            raise RuntimeError(f"{self.process.args[0]} ended at {request}")
        return json.loads(answer)

    def end(self):
        """Peak memory in bytes."""
        self.process.stdin.close()
        _, status, usage = os.wait4(self.process.pid, 0)
        self.process.returncode = os.waitstatus_to_exitcode(status)
        return usage.ru_maxrss * 1024


def peer_side():
    """The loop of the other process: answers the requests with PyTorch."""
    import torch

    import pytorch_networks

    torch.set_num_threads(int(os.environ["OMP_NUM_THREADS"]))
    training = None
    for line in sys.stdin:
        request = json.loads(line)
        key, repeats, answer = request["key"], request.get("repeats", 1), {}
        start = time.perf_counter()
        if key == "setup":
            training = pytorch_networks.Training(
                request["architecture"], request["size"], request["batch"], request["clusters"]
            )
        elif key == "train":
            for _ in range(repeats):
                answer["loss"] = training.step()
        elif key == "features":
            for _ in range(repeats):
                answer["mean"] = training.features()
        elif key == "load":
            answer["images"] = pytorch_networks.load(request["folder"], request["size"], request["workers"])
        elif key == "epoch":
            answer |= pytorch_networks.epoch(
                request["folder"], "alexnet", SIZE, request["batch"], request["clusters"], request["workers"],
                request["workers"],
            )
        answer["seconds"] = time.perf_counter() - start
        print(json.dumps(answer), flush=True)


# ---- comparisons ----


class Comparisons:
    def __init__(self, options):
        self.options = options
        self.runner, self.program = build()
        self.results = {}

    def ours(self):
        return Side([self.runner], {"RAYON_NUM_THREADS": str(self.options.threads)})

    def theirs(self):
        return Side([sys.executable, __file__, "--peer"], {"OMP_NUM_THREADS": str(self.options.threads)})

    def alternate(self, key, unit, amount, sides, run):
        """Lets both sides do the same in turn; `run` gives the seconds of one."""
        rounds = []
        for number in range(self.options.rounds):
            seconds = {}
            for name in sides if number % 2 == 0 else reversed(sides):
                time.sleep(PAUSE_SECONDS)
                seconds[name] = run(sides[name])
            rounds.append(seconds)
            print(f"  {key} round {number + 1}: ours {seconds['ours']:.3f} s, peer {seconds['peer']:.3f} s", file=sys.stderr)
        ratios = [seconds["peer"] / seconds["ours"] for seconds in rounds]
        medians = {name: statistics.median(seconds[name] for seconds in rounds) for name in sides}
        self.record(key, amount / medians["ours"], amount / medians["peer"], ratios, unit)

    def record(self, key, ours, theirs, ratios, unit):
        must, aim = TARGETS[key]
        self.results[key] = {
            "ours": ours, "peer": theirs, "unit": unit, "ratio": statistics.median(ratios),
            "lowest": min(ratios), "highest": max(ratios), "must": must, "aim": aim,
        }

    def network(self, architecture, wanted):
        """Steps of training and passes for features of one network; both sides stay alive, and rest in turn."""
        batch, sides = BATCH[architecture], {"ours": self.ours(), "peer": self.theirs()}
        setup = {"architecture": architecture, "size": SIZE, "batch": batch, "clusters": NUM_CLUSTERS}
        for side in sides.values():
            side.ask(key="setup", **setup)
        for key in ("train", "features"):
            name = f"{key}-{architecture}"
            if name not in wanted:
                continue
            repeats = 3 if architecture == "alexnet" else 1
            for side in sides.values():
                answer = side.ask(key=key)  # once without the clock
                # A new network knows nothing: the loss is that of guessing among the clusters.
                if key == "train" and not abs(answer["loss"] - math.log(NUM_CLUSTERS)) < 1:
                    raise RuntimeError(f"{side.process.args[0]}: a loss of {answer['loss']} at the first step")
            self.alternate(
                name, "images/s", repeats * batch, sides,
                lambda side, key=key, repeats=repeats: side.ask(key=key, repeats=repeats)["seconds"],
            )
        peaks = {name: side.end() for name, side in sides.items()}
        if f"train-{architecture}" in wanted and architecture == "alexnet":
            mib = {name: peak / 2**20 for name, peak in peaks.items()}
            self.record("memory-train", mib["ours"], mib["peer"], [mib["peer"] / mib["ours"]], "MiB")

    def load(self):
        sides = {"ours": self.ours(), "peer": self.theirs()}
        with tempfile.TemporaryDirectory() as scratch:
            count = take_images(self.options.photos or self.options.images, Path(scratch), LOADED_IMAGES, repeat=True)
            request = {"key": "load", "folder": scratch, "size": SIZE, "workers": self.options.threads}
            # Once without the clock: files are in memory from now on.
            counts = [side.ask(**request)["images"] for side in sides.values()]
            if counts != [count] * 2:
                raise RuntimeError(f"of {count} images the sides read {counts}")
            self.alternate("load", "images/s", count, sides, lambda side: side.ask(**request)["seconds"])
        for side in sides.values():
            side.end()

    def epoch(self):
        """A whole epoch, with a process of its own each time. Both clocks run from the first image of the feature pass to
        the last step of training; the second pass and clustering with which the program ends its runs come after."""
        options, clusters = self.options, NUM_CLUSTERS
        batch = 64
        with tempfile.TemporaryDirectory() as scratch:
            folder = Path(scratch) / "images"
            take_images(options.images, folder, options.epoch_images)
            peaks = {"ours": 0, "peer": 0}

            def run(name):
                if name == "peer":
                    side = self.theirs()
                    answer = side.ask(key="epoch", folder=str(folder), batch=batch, clusters=clusters, workers=options.threads)
                    peaks["peer"] = max(peaks["peer"], side.end())
                    return answer["seconds"]
                out = Path(scratch) / "run"
                command = [
                    self.program, "train", folder, "--out", out, "--arch", "alexnet", "--image-size", str(SIZE), "--quiet",
                    "--epochs", "1", "--clusters", str(clusters), "--batch-size", str(batch), "--labels", "none",
                    "--set", f"training.feature_batch_size={batch}", "--set", "images.cache_mib=0",
                ]
                environment = {**os.environ, "RAYON_NUM_THREADS": str(options.threads)}
                process = subprocess.Popen(command, env=environment)
                _, status, usage = os.wait4(process.pid, 0)
                process.returncode = os.waitstatus_to_exitcode(status)
                if process.returncode:
                    raise RuntimeError(f"{self.program} ended with status {process.returncode}")
                peaks["ours"] = max(peaks["ours"], usage.ru_maxrss * 1024)
                timings = json.loads((out / "timings.jsonl").read_text().splitlines()[0])
                shutil.rmtree(out)
                parts = ("features", "whitening", "clustering", "training")
                return sum(timings[f"{part}_seconds"] for part in parts)

            self.alternate("epoch", "images/s", options.epoch_images, {"ours": "ours", "peer": "peer"}, run)
            mib = {name: peak / 2**20 for name, peak in peaks.items()}
            self.record("memory-epoch", mib["ours"], mib["peer"], [mib["peer"] / mib["ours"]], "MiB")


def take_images(source, target, count, repeat=False):
    """Links to `count` of the JPEG images of a folder in one sub-folder, some more than once if `repeat` is set."""
    paths = sorted(path for path in source.rglob("*") if path.suffix.lower() in (".jpg", ".jpeg"))
    if not paths or (len(paths) < count and not repeat):
        sys.exit(f"{source} holds {len(paths)} JPEG images, fewer than {count}")
    paths = paths[:: max(1, len(paths) // count)]
    (target / "all").mkdir(parents=True)
    for number in range(count):
        (target / "all" / f"{number}.jpg").symlink_to(paths[number % len(paths)].resolve())
    return count


# ---- report ----


def table(results):
    lines = ["| key | ours | peer | unit | ratio | lowest to highest | must | aim | |", "|---|---|---|---|---|---|---|---|---|"]
    for key, row in results.items():
        verdict = "met" if row["ratio"] >= row["must"] else "below"
        if row["aim"] and row["ratio"] >= row["aim"]:
            verdict = "aim met"
        lines.append(
            f"| `{key}` | {row['ours']:.1f} | {row['peer']:.1f} | {row['unit']} | {row['ratio']:.2f} | "
            f"{row['lowest']:.2f} to {row['highest']:.2f} | {row['must']} | {row['aim'] or ''} | {verdict} |"
        )
    return "\n".join(lines)


def main():
    if sys.argv[1:] == ["--peer"]:
        return peer_side()
    options = parse_options()
    comparisons = Comparisons(options)
    for architecture in ("alexnet", "vgg16"):
        wanted = [key for key in options.only if key.endswith(architecture)]
        if wanted:
            comparisons.network(architecture, wanted)
    if "load" in options.only:
        comparisons.load()
    if "epoch" in options.only:
        comparisons.epoch()
    text = table(comparisons.results)
    print(text)
    if options.out:
        about = {"processor": platform.processor() or platform.machine(), "threads": options.threads}
        written = text + "\n" if options.out.suffix == ".md" else json.dumps({**about, "results": comparisons.results}, indent=2)
        options.out.write_text(written)


if __name__ == "__main__":
    main()
