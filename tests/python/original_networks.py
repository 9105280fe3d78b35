"""The networks of the original PyTorch code, stated anew: the layers in the containers that give `state_dict` its keys.

Caron et al., ECCV 2018: AlexNet and VGG-16 with batch normalisation behind a fixed Sobel filter. `width` and the
architecture `alexnet-small` are those of this project; with width 1 the others are the original's.
"""

import torch
from torch import nn

# Filters, kernel, stride, padding of each convolution; pooling (kernel, stride) where there is one.
ALEXNET = [(96, 11, 4, 2), (3, 2), (256, 5, 1, 2), (3, 2), (384, 3, 1, 1), (384, 3, 1, 1), (256, 3, 1, 1), (3, 2)]
ALEXNET_SMALL = [(48, 5, 1, 2), (3, 2), (128, 5, 1, 2), (3, 2), (192, 3, 1, 1), (192, 3, 1, 1), (128, 3, 1, 1), (3, 2)]
VGG16 = [
    layer
    for filters, count in [(64, 2), (128, 2), (256, 3), (512, 3), (512, 3)]
    for layer in [(filters, 3, 1, 1)] * count + [(2, 2)]
]
LAYERS = {"alexnet": (ALEXNET, 4096), "alexnet-small": (ALEXNET_SMALL, 1024), "vgg16": (VGG16, 4096)}


class OriginalNetwork(nn.Module):
    """`sobel`, `features`, `classifier` and `top_layer`, or no `top_layer` where `num_clusters` is None."""

    def __init__(self, architecture, image_size, sobel=True, width=1.0, num_clusters=None):
        super().__init__()

        def scaled(count):
            return max(1, int(count * width + 0.5))

        layers, units = LAYERS[architecture]
        units = scaled(units)
        planes = 2 if sobel else 3
        features = []
        for layer in layers:
            if len(layer) == 2:
                features.append(nn.MaxPool2d(kernel_size=layer[0], stride=layer[1]))
                continue
            filters, kernel, stride, padding = scaled(layer[0]), *layer[1:]
            features.append(nn.Conv2d(planes, filters, kernel, stride, padding))
            features.append(nn.BatchNorm2d(filters))
            features.append(nn.ReLU())
            planes = filters
        self.features = nn.Sequential(*features)
        with torch.no_grad():
            blank = torch.zeros(1, 2 if sobel else 3, image_size, image_size)
            num_inputs = self.features.eval()(blank).numel()
        classifier = [nn.Linear(num_inputs, units), nn.ReLU(), nn.Dropout(0.5), nn.Linear(units, units), nn.ReLU()]
        if architecture != "vgg16":
            classifier.insert(0, nn.Dropout(0.5))
        self.classifier = nn.Sequential(*classifier)
        self.top_layer = None if num_clusters is None else nn.Linear(units, num_clusters)
        self.sobel = None
        if sobel:
            self.sobel = nn.Sequential(nn.Conv2d(3, 1, 1), nn.Conv2d(1, 2, 3, padding=1))

    def forward_features(self, images):
        """The features that are clustered: the output of the last layer but the head, before its ReLU."""
        maps = images if self.sobel is None else self.sobel(images)
        return self.classifier[:-1](self.features(maps).flatten(1))

    def forward(self, images):
        """Scores of the clusters."""
        return self.top_layer(torch.relu(self.forward_features(images)))
