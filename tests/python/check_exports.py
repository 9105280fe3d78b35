"""Checks the files of `deepcluster export` with PyTorch, ONNX Runtime and safetensors.

Draws images, trains a network of each architecture for an epoch, exports it, and compares, image by image: features of
the program, of PyTorch after a strict load and of ONNX Runtime; whitened features; clusters and distances. Ends with an
error at the first difference beyond the tolerance. `--full` adds AlexNet and VGG-16 as in the paper, at 224 px.
"""

import argparse
import csv
import json
import subprocess
import sys
import tempfile
from pathlib import Path

import numpy as np
import onnx
import onnxruntime
import torch
from PIL import Image, ImageDraw
from safetensors import safe_open
from safetensors.torch import load_file

from original_networks import OriginalNetwork

# Largest difference of a value, relative to the largest value.
TOLERANCE = 1e-5
# Architecture, image size, width, Sobel, number of images.
SMALL = [
    ("alexnet", 64, 0.25, True, 60),
    ("alexnet", 64, 0.25, False, 60),
    ("alexnet-small", 32, 0.25, True, 60),
    ("alexnet-small", 32, 0.25, False, 60),
    ("vgg16", 32, 0.125, True, 60),
    ("vgg16", 32, 0.125, False, 60),
]
FULL = [("alexnet", 224, 1.0, True, 32), ("vgg16", 224, 1.0, True, 16)]
NUM_CLUSTERS = 5


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--deepcluster", required=True, help="the program")
    parser.add_argument("--full", action="store_true", help="also AlexNet and VGG-16 at 224 px")
    arguments = parser.parse_args()
    program = str(Path(arguments.deepcluster).resolve())
    for settings in SMALL + (FULL if arguments.full else []):
        with tempfile.TemporaryDirectory() as folder:
            check(program, Path(folder), *settings)
    print("all exports agree")


def check(program, folder, architecture, image_size, width, sobel, num_images):
    print(f"{architecture}, {image_size} px, width {width}, {'Sobel' if sobel else 'RGB'}")
    images, run = folder / "images", folder / "run"
    draw_images(images, num_images, image_size)
    settings = {
        "network.width": width,
        "network.sobel": str(sobel).lower(),
        # Images of this size go to the network pixel by pixel.
        "images.resize": image_size,
        "objective.whitening.num_components": 12,
        "training.epochs": 1,
        "training.batch_size": 8,
        "training.knn_neighbors": 3,
    }
    options = [option for key, value in settings.items() for option in ("--set", f"{key}={value}")]
    options += ["--arch", architecture, "--image-size", str(image_size), "--clusters", str(NUM_CLUSTERS)]
    call(program, "train", images, "--out", run, "--labels", "none", *options)
    paths = {}
    for name in ("safetensors", "pytorch-safetensors", "onnx", "burnpack"):
        printed = call(program, "--json", "export", run, "--format", name)
        paths[name] = json.loads(printed)["path"]

    ours = load_ours(paths["safetensors"])
    metadata = ours["metadata"]
    expected = (architecture, str(image_size), str(sobel).lower())
    require((metadata["architecture"], metadata["image_size"], metadata["sobel"]) == expected, metadata)
    pixels, names = load_images(images, metadata)

    network = OriginalNetwork(architecture, image_size, sobel, width, NUM_CLUSTERS).eval()
    network.load_state_dict(load_file(paths["pytorch-safetensors"]), strict=True)
    with torch.no_grad():
        features = network.forward_features(torch.from_numpy(pixels)).numpy()
        scores = network(torch.from_numpy(pixels)).numpy()
    head = np.maximum(features, 0) @ ours["head.linear.weight"] + ours["head.linear.bias"]
    compare("scores of the head", scores, head)

    program_features = folder / "features.npy"
    call(program, "features", run, images, "--out", program_features)
    compare("features of the program and PyTorch", np.load(program_features), features)

    onnx.checker.check_model(paths["onnx"], full_check=True)
    session = onnxruntime.InferenceSession(paths["onnx"], providers=["CPUExecutionProvider"])
    outputs = session.run(["features", "whitened", "cluster"], {"images": pixels})
    single = session.run(["features", "whitened", "cluster"], {"images": pixels[:1]})
    compare("features of ONNX Runtime and PyTorch", outputs[0], features)
    compare("features of ONNX Runtime and the program", outputs[0], np.load(program_features))
    compare("features of one image and of many", single[0], outputs[0][:1])

    whitened = whiten(np.load(program_features).astype(np.float64), ours)
    compare("whitened features of ONNX Runtime and NumPy", outputs[1], whitened)
    clusters, distances = read_assignments(program, run, images, names, folder)
    found = np.linalg.norm(outputs[1] - ours["clusters.centroids"][outputs[2]], axis=1)
    compare("distances to the centroids", found, distances)
    require(np.array_equal(outputs[2], clusters), f"clusters differ: {outputs[2]} and {clusters}")
    require(len(set(clusters)) > 1, "all images are in one cluster, which shows nothing")
    print(f"    clusters of ONNX Runtime and the program: {len(names)} of {len(names)} equal")

    # A check that a wrong weight passes would show nothing either.
    with torch.no_grad():
        network.features[0].weight[0] *= 1.05
        changed = network.forward_features(torch.from_numpy(pixels)).numpy()
    require(difference(changed, features) > 10 * TOLERANCE, "a changed weight was not noticed")


def draw_images(folder, num_images, size):
    """Images with rectangles, ellipses and noise, lossless and of exactly the size of the network's input."""
    folder.mkdir()
    random = np.random.default_rng(7)
    for index in range(num_images):
        image = Image.new("RGB", (size, size), tuple(random.integers(0, 256, 3)))
        draw = ImageDraw.Draw(image)
        for _ in range(random.integers(1, 6)):
            corner = random.integers(0, size - 4, 2)
            box = [*corner, *(corner + random.integers(3, size // 2, 2))]
            shape = draw.rectangle if random.random() < 0.5 else draw.ellipse
            shape([int(value) for value in box], fill=tuple(random.integers(0, 256, 3)))
        noise = random.integers(-12, 13, (size, size, 3))
        Image.fromarray((np.asarray(image) + noise).clip(0, 255).astype(np.uint8)).save(folder / f"{index:04}.png")


def load_images(folder, metadata):
    """Normalised pixels `[num_images, 3, size, size]` in the order of the names."""
    mean, std = (np.array(json.loads(metadata[key]), np.float32) for key in ("input_mean", "input_std"))
    paths = sorted(folder.iterdir())
    pixels = np.stack([np.asarray(Image.open(path), np.float32) / 255 for path in paths])
    pixels = (pixels - mean) / std
    return np.ascontiguousarray(pixels.transpose(0, 3, 1, 2)), [path.name for path in paths]


def load_ours(path):
    with safe_open(path, framework="np") as file:
        return {"metadata": file.metadata()} | {name: file.get_tensor(name) for name in file.keys()}


def whiten(features, ours):
    rows = (features - ours["clusters.whitening.mean"]) @ ours["clusters.whitening.components"].T
    require(ours["clusters.whitening.normalize"] == 1, "rows are not normalised")
    return rows / np.linalg.norm(rows, axis=1, keepdims=True)


def read_assignments(program, run, images, names, folder):
    path = folder / "assignments.csv"
    call(program, "assign", run, images, "--out", path)
    with open(path, newline="") as file:
        rows = {row["path"]: row for row in csv.DictReader(file)}
    require(sorted(rows) == names, "images are missing")
    clusters = np.array([int(rows[name]["cluster"]) for name in names])
    return clusters, np.array([float(rows[name]["distance"]) for name in names])


def call(program, *arguments):
    command = [program, *map(str, arguments)]
    result = subprocess.run(command, capture_output=True, text=True)
    require(result.returncode == 0, f"{' '.join(command)}: {result.stderr}")
    return result.stdout


def difference(found, expected):
    require(found.shape == expected.shape, f"shapes differ: {found.shape} and {expected.shape}")
    require(np.isfinite(found).all() and np.abs(expected).max() > 0, "values are missing")
    return np.abs(found - expected).max() / np.abs(expected).max()


def compare(what, found, expected):
    largest = difference(found, expected)
    print(f"    {what}: {largest:.1e}")
    require(largest <= TOLERANCE, f"{what} differ by {largest:.1e}, more than {TOLERANCE:.0e}")


def require(condition, message):
    if not condition:
        sys.exit(f"error: {message}")


if __name__ == "__main__":
    main()
