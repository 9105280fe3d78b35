"""AlexNet and VGG-16 behind Sobel filters in PyTorch, and the loop of the original code with faiss on today's stack.

The networks are those of the paper: convolutions with batch norm and ReLU, fc6, fc7 and the head.
"""

import faiss
import numpy as np
import torch
from torch import nn
from torch.utils.data import DataLoader, Dataset
from torchvision import transforms
from torchvision.datasets import ImageFolder

POOL = "M"
LAYERS = {
    "alexnet": [(96, 11, 4, 2), POOL, (256, 5, 1, 2), POOL, (384, 3, 1, 1), (384, 3, 1, 1), (256, 3, 1, 1), POOL],
    "vgg16": [
        *[(64, 3, 1, 1)] * 2, POOL, *[(128, 3, 1, 1)] * 2, POOL, *[(256, 3, 1, 1)] * 3, POOL,
        *[(512, 3, 1, 1)] * 3, POOL, *[(512, 3, 1, 1)] * 3, POOL,
    ],
}
NORMALIZE = transforms.Normalize([0.485, 0.456, 0.406], [0.229, 0.224, 0.225])


def sobel():
    grey = nn.Conv2d(3, 1, 1)
    derivatives = nn.Conv2d(1, 2, 3, padding=1)
    with torch.no_grad():
        grey.weight.fill_(1 / 3)
        kernel = torch.tensor([[1.0, 0, -1], [2, 0, -2], [1, 0, -1]])
        derivatives.weight.copy_(torch.stack([kernel, kernel.T]).unsqueeze(1))
        grey.bias.zero_()
        derivatives.bias.zero_()
    filters = nn.Sequential(grey, derivatives)
    return filters.requires_grad_(False)


class Network(nn.Module):
    def __init__(self, architecture, size, num_clusters):
        super().__init__()
        pool = (3, 2) if architecture == "alexnet" else (2, 2)
        layers, planes = [], 2
        for layer in LAYERS[architecture]:
            if layer == POOL:
                layers.append(nn.MaxPool2d(*pool))
                continue
            channels, kernel, stride, padding = layer
            layers += [nn.Conv2d(planes, channels, kernel, stride, padding), nn.BatchNorm2d(channels), nn.ReLU(inplace=True)]
            planes = channels
        self.sobel, self.features = sobel(), nn.Sequential(*layers)
        with torch.no_grad():
            flat = self.features.eval()(torch.zeros(1, 2, size, size)).numel()
        self.features.train()
        drop_first = architecture == "alexnet"
        self.classifier = nn.Sequential(
            nn.Dropout(0.5 if drop_first else 0.0), nn.Linear(flat, 4096), nn.ReLU(inplace=True),
            nn.Dropout(0.5), nn.Linear(4096, 4096),
        )
        self.new_head(num_clusters)
        for module in self.features:
            if isinstance(module, nn.Conv2d):
                deviation = (2 / (module.kernel_size[0] ** 2 * module.out_channels)) ** 0.5
                nn.init.normal_(module.weight, 0, deviation)
                nn.init.zeros_(module.bias)
        for module in self.classifier:
            if isinstance(module, nn.Linear):
                nn.init.normal_(module.weight, 0, 0.01)
                nn.init.zeros_(module.bias)

    def new_head(self, num_clusters):
        self.head = nn.Linear(4096, num_clusters)
        nn.init.normal_(self.head.weight, 0, 0.01)
        nn.init.zeros_(self.head.bias)

    def forward_features(self, images):
        return self.classifier(self.features(self.sobel(images)).flatten(1))

    def forward(self, images):
        return self.head(torch.relu(self.forward_features(images)))

    def trunk_parameters(self):
        return [*self.features.parameters(), *self.classifier.parameters()]


class Training:
    """Steps on one batch of noise."""

    def __init__(self, architecture, size, batch, clusters):
        torch.manual_seed(1)
        self.network = Network(architecture, size, clusters)
        self.images = torch.randn(batch, 3, size, size)
        self.targets = torch.arange(batch) % clusters
        self.sgd = torch.optim.SGD(self.network.trunk_parameters(), lr=0.05, momentum=0.9, weight_decay=1e-5)
        self.head_sgd = torch.optim.SGD(self.network.head.parameters(), lr=0.05, weight_decay=1e-5)

    def step(self):
        self.network.train()
        loss = nn.functional.cross_entropy(self.network(self.images), self.targets)
        self.sgd.zero_grad()
        self.head_sgd.zero_grad()
        loss.backward()
        self.sgd.step()
        self.head_sgd.step()
        return loss.item()

    @torch.no_grad()
    def features(self):
        self.network.eval()
        return self.network.forward_features(self.images).mean().item()


# ---- data and the loop ----


def random_crops(size):
    return transforms.Compose([
        transforms.RandomResizedCrop(size), transforms.RandomHorizontalFlip(), transforms.ToTensor(), NORMALIZE,
    ])


def central_crops(resize, size):
    return transforms.Compose([transforms.Resize(resize), transforms.CenterCrop(size), transforms.ToTensor(), NORMALIZE])


def load(folder, size, workers):
    """Random crops of all images of a folder; how many there are."""
    loader = DataLoader(ImageFolder(folder, random_crops(size)), batch_size=32, num_workers=workers)
    return sum(len(images) for images, _ in loader)


class Relabelled(Dataset):
    def __init__(self, images, indices, labels, transform):
        self.images, self.indices, self.labels, self.transform = images, indices, labels, transform

    def __len__(self):
        return len(self.indices)

    def __getitem__(self, position):
        index = self.indices[position]
        image = self.images.loader(self.images.samples[index][0])
        return self.transform(image), self.labels[index]


def uniform_sample(labels, num_clusters, generator):
    members = [np.flatnonzero(labels == cluster) for cluster in range(num_clusters)]
    members = [images for images in members if len(images)]
    each = len(labels) // len(members) + 1
    drawn = np.concatenate([generator.choice(images, each, replace=len(images) <= each) for images in members])
    return generator.permutation(drawn)[: len(labels)]


def epoch(folder, architecture, size, batch, num_clusters, workers, threads, seed=31):
    """One epoch of DeepCluster as the original code does it: features, PCA-whitening, k-means, training."""
    torch.manual_seed(seed)
    torch.set_num_threads(threads)
    faiss.omp_set_num_threads(threads)
    generator = np.random.default_rng(seed)
    network = Network(architecture, size, num_clusters)
    sgd = torch.optim.SGD(network.trunk_parameters(), lr=0.05, momentum=0.9, weight_decay=1e-5)
    images = ImageFolder(folder, central_crops(size * 256 // 224, size))
    network.eval()
    with torch.no_grad():
        loader = DataLoader(images, batch_size=batch, num_workers=workers)
        features = np.concatenate([network.forward_features(pixels).numpy() for pixels, _ in loader])
    whitening = faiss.PCAMatrix(features.shape[1], min(256, len(features)), -0.5)
    whitening.train(features)
    rows = whitening.apply(features)
    rows /= np.linalg.norm(rows, axis=1, keepdims=True)
    kmeans = faiss.Clustering(rows.shape[1], num_clusters)
    kmeans.niter, kmeans.max_points_per_centroid, kmeans.seed = 20, 10_000_000, seed
    index = faiss.IndexFlatL2(rows.shape[1])
    kmeans.train(rows, index)
    labels = index.search(rows, 1)[1][:, 0]
    network.new_head(num_clusters)
    head_sgd = torch.optim.SGD(network.head.parameters(), lr=0.05, weight_decay=1e-5)
    network.train()
    sample = uniform_sample(labels, num_clusters, generator)
    data = Relabelled(images, sample, labels, random_crops(size))
    total = 0.0
    for pixels, targets in DataLoader(data, batch_size=batch, num_workers=workers):
        loss = nn.functional.cross_entropy(network(pixels), targets)
        sgd.zero_grad()
        head_sgd.zero_grad()
        loss.backward()
        sgd.step()
        head_sgd.step()
        total += loss.item() * len(targets)
    return {"loss": total / len(data), "images": len(images)}
