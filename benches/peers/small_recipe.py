"""The recipe of DeepCluster for 32 px images in PyTorch, as a peer to compare curves with.

    pip install torch numpy pillow scikit-learn
    python benches/peers/small_recipe.py FOLDER --clusters 100 --epochs 6 --seed 1

FOLDER holds a sub-folder per class; the classes are for the report only. Each epoch prints one JSON line with the names
of `metrics.jsonl`. The options are those of `deepcluster train FOLDER --image-size 32`.
"""

import argparse
import json
import math
import random
from pathlib import Path

import numpy as np
import torch
from PIL import Image
from sklearn.metrics import normalized_mutual_info_score
from torch import nn
from torch.nn import functional as F

SIZE = 32
MEAN, STD = np.float32([0.485, 0.456, 0.406]), np.float32([0.229, 0.224, 0.225])


def parse_options():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--clusters", type=int, default=100)
    parser.add_argument("--epochs", type=int, default=6)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--batch-size", type=int, default=128)
    parser.add_argument("--learning-rate", type=float, default=0.05)
    parser.add_argument("--crop-scale-min", type=float, default=0.2)
    parser.add_argument("--width", type=float, default=1.0)
    parser.add_argument("--pca-dim", type=int, default=256)
    parser.add_argument("--epochs-per-clustering", type=float, default=1.0)
    return parser.parse_args()


class Network(nn.Module):
    """Sobel, five convolutions with batch norm, two linear layers; the output is that of fc7 before its ReLU."""

    def __init__(self, width):
        super().__init__()
        blocks, planes = [], 2
        for index, (channels, kernel) in enumerate([(48, 5), (128, 5), (192, 3), (192, 3), (128, 3)]):
            channels = round(channels * width)
            blocks += [nn.Conv2d(planes, channels, kernel, padding=kernel // 2), nn.BatchNorm2d(channels), nn.ReLU()]
            if index in (0, 1, 4):
                blocks.append(nn.MaxPool2d(3, 2))
            planes = channels
        self.convolutions = nn.Sequential(*blocks)
        self.feature_dim = round(1024 * width)
        self.linear = nn.Sequential(
            nn.Dropout(), nn.Linear(planes * 3 * 3, self.feature_dim), nn.ReLU(),
            nn.Dropout(), nn.Linear(self.feature_dim, self.feature_dim),
        )
        horizontal = torch.tensor([[1.0, 0, -1], [2, 0, -2], [1, 0, -1]])
        self.register_buffer("sobel", torch.stack([horizontal, horizontal.t()])[:, None])
        for module in self.modules():
            if isinstance(module, nn.Conv2d):
                module.weight.data.normal_(0, math.sqrt(2 / (module.kernel_size[0] ** 2 * module.out_channels)))
                module.bias.data.zero_()
            elif isinstance(module, nn.Linear):
                module.weight.data.normal_(0, 0.01)
                module.bias.data.zero_()

    def maps(self, images):
        return self.convolutions(F.conv2d(images.mean(1, keepdim=True), self.sobel, padding=1)).flatten(1)

    def forward(self, images):
        return self.linear(self.maps(images))


def to_tensor(images):
    return torch.from_numpy(np.ascontiguousarray(((np.stack(images) / np.float32(255) - MEAN) / STD).transpose(0, 3, 1, 2)))


def random_crop(image, scale_min):
    """RandomResizedCrop and RandomHorizontalFlip of torchvision."""
    width, height = image.size
    box = (0, 0, width, height)
    for _ in range(10):
        area = random.uniform(scale_min, 1) * width * height
        ratio = math.exp(random.uniform(math.log(3 / 4), math.log(4 / 3)))
        w, h = round(math.sqrt(area * ratio)), round(math.sqrt(area / ratio))
        if 0 < w <= width and 0 < h <= height:
            left, top = random.randint(0, width - w), random.randint(0, height - h)
            box = (left, top, left + w, top + h)
            break
    pixels = np.asarray(image.crop(box).resize((SIZE, SIZE), Image.BILINEAR))
    return pixels[:, ::-1] if random.random() < 0.5 else pixels


def extract(network, function, images):
    network.eval()
    with torch.no_grad():
        return torch.cat([function(batch) for batch in images.split(256)])


def whiten(features, pca_dim):
    features = features.double() - features.double().mean(0)
    values, vectors = torch.linalg.eigh(features.t() @ features / len(features))
    values, vectors = values[-pca_dim:], vectors[:, -pca_dim:]
    return F.normalize(features @ vectors / values.clamp_min(1e-12).sqrt()).float()


def kmeans(rows, num_clusters):
    """20 iterations from random rows; an empty cluster takes half of a random large one, as in faiss."""
    centroids = rows[torch.randperm(len(rows))[:num_clusters]].clone()
    signs = torch.ones(rows.shape[1])
    signs[::2] = -1
    for _ in range(20):
        assignments = ((centroids**2).sum(1) - 2 * rows @ centroids.t()).argmin(1)
        counts = torch.bincount(assignments, minlength=num_clusters).float()
        centroids = torch.zeros_like(centroids).index_add_(0, assignments, rows) / counts.clamp_min(1)[:, None]
        for empty in (counts == 0).nonzero().flatten().tolist():
            donor = int(torch.multinomial((counts - 1).clamp_min(0), 1))
            centroids[empty] = centroids[donor] * (1 + signs / 1024)
            centroids[donor] *= 1 - signs / 1024
            counts[empty] = counts[donor] = counts[donor] / 2
    return ((centroids**2).sum(1) - 2 * rows @ centroids.t()).argmin(1).numpy()


def uniform_sample(assignments, num_samples):
    clusters = [np.flatnonzero(assignments == cluster) for cluster in np.unique(assignments)]
    per_cluster = num_samples // len(clusters) + 1
    drawn = [np.random.choice(rows, per_cluster, replace=len(rows) <= per_cluster) for rows in clusters]
    return np.random.permutation(np.concatenate(drawn))[:num_samples]


def nearest_neighbor_accuracy(features, labels, num_neighbors=20):
    features = F.normalize(features)
    similarity = (features @ features.t()).fill_diagonal_(-9)
    votes = F.one_hot(torch.from_numpy(labels)[similarity.topk(num_neighbors).indices]).sum(1)
    return float((votes.argmax(1).numpy() == labels).mean())


def main():
    options = parse_options()
    torch.manual_seed(options.seed)
    np.random.seed(options.seed)
    random.seed(options.seed)
    files = sorted(path for path in options.folder.glob("*/*") if path.is_file())
    names = sorted({path.parent.name for path in files})
    labels = np.array([names.index(path.parent.name) for path in files])
    images = [Image.open(path).convert("RGB") for path in files]
    whole = to_tensor([np.asarray(image.resize((SIZE, SIZE), Image.BILINEAR)) for image in images])
    network = Network(options.width)
    optimizer = torch.optim.SGD(network.parameters(), options.learning_rate, momentum=0.9, weight_decay=1e-5)
    num_samples = round(len(images) * options.epochs_per_clustering)
    previous = None
    for epoch in range(options.epochs + 1):
        assignments = kmeans(whiten(extract(network, network, whole), options.pca_dim), options.clusters)
        line = {"epoch": epoch, "nmi_to_labels": normalized_mutual_info_score(labels, assignments)}
        if previous is not None:
            line["nmi_to_previous"] = normalized_mutual_info_score(previous, assignments)
        previous = assignments
        if epoch in (0, options.epochs):
            line["knn_accuracy"] = nearest_neighbor_accuracy(extract(network, network.maps, whole), labels)
        if epoch < options.epochs:
            line["loss"] = train_epoch(network, optimizer, images, assignments, num_samples, options)
        print(json.dumps(line), flush=True)


def train_epoch(network, optimizer, images, assignments, num_samples, options):
    head = nn.Linear(network.feature_dim, options.clusters)
    head.weight.data.normal_(0, 0.01)
    head.bias.data.zero_()
    head_optimizer = torch.optim.SGD(head.parameters(), options.learning_rate, weight_decay=1e-5)
    network.train()
    total = 0.0
    order = uniform_sample(assignments, num_samples)
    for start in range(0, num_samples, options.batch_size):
        batch = order[start : start + options.batch_size]
        crops = to_tensor([random_crop(images[index], options.crop_scale_min) for index in batch])
        loss = F.cross_entropy(head(F.relu(network(crops))), torch.from_numpy(assignments[batch]).long())
        optimizer.zero_grad()
        head_optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        head_optimizer.step()
        total += loss.item() * len(batch)
    return total / num_samples


if __name__ == "__main__":
    main()
