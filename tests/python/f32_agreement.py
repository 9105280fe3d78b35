"""How far PyTorch in f32 is from PyTorch in f64: the yardstick of tests that compare with figures in f64.

    python tests/python/f32_agreement.py [ALEXNET_IMAGES VGG16_IMAGES]

Weights and images are filled by the rule of `crates/trainer/tests/agrees_with_the_original/rule.rs`. Prints the relative
L2 error of every gradient of the first step in f32, over the whole tensor and over its first four values.
"""

import sys

import numpy as np
import torch

from original_networks import OriginalNetwork


def main(num_images):
    sequence = generator()
    for architecture, count in num_images.items():
        gradients = {dtype: first_gradients(architecture, count, sequence, dtype) for dtype in (torch.float64, torch.float32)}
        worst = 0.0
        for name, exact in gradients[torch.float64].items():
            if exact.norm() < 1e-10:
                continue  # what batch norm takes away again
            rounded = gradients[torch.float32][name].double()
            size = max(exact.flatten()[:4].norm(), 2 * exact.norm() / exact.numel() ** 0.5)
            shown = (rounded - exact).flatten()[:4].norm() / size
            error = ((rounded - exact).norm() / exact.norm()).item()
            norm = abs(rounded.norm() / exact.norm() - 1).item()
            worst = max(worst, error)
            print(f"{architecture} {name}: error {error:.1e}, of the norm {norm:.1e}, of the first values {shown:.1e}")
        print(f"{architecture}: worst {worst:.1e}")


def generator():
    state, values = 12345, []
    for _ in range(1009):
        state = (1664525 * state + 1013904223) % 2**32
        values.append((state / 2**32 - 0.5) * 2)
    return np.array(values)


def first_gradients(architecture, num_images, sequence, dtype):
    network = OriginalNetwork(architecture, 224, num_clusters=10)
    grey, derivatives = network.sobel
    with torch.no_grad():
        for parameter in network.sobel.parameters():
            parameter.zero_()
            parameter.requires_grad = False
        grey.weight.fill_(1 / 3)
        derivatives.weight[0, 0] = torch.tensor([[1.0, 0, -1], [2, 0, -2], [1, 0, -1]])
        derivatives.weight[1, 0] = torch.tensor([[1.0, 2, 1], [0, 0, 0], [-1, -2, -1]])
        trained = [(n, p) for n, p in network.named_parameters() if not n.startswith("sobel")]
        for number, (name, parameter) in enumerate(trained, 1):
            if parameter.dim() == 1:
                parameter.fill_(1.0 if name.startswith("features") and is_norm(network, name) else 0.0)
                continue
            gain = 2**0.5 if parameter.dim() == 4 else 0.25
            scale = (3 / parameter[0].numel()) ** 0.5 * gain
            index = np.arange(parameter.numel())
            values = scale * sequence[(index + 17 * number) % 1009]
            parameter.copy_(torch.from_numpy(values.astype(np.float32)).view_as(parameter))
    index = np.arange(num_images * 3 * 224 * 224)
    images = (2 * sequence[(31 * index + index // 997) % 1009]).astype(np.float32)
    images = torch.from_numpy(images).view(num_images, 3, 224, 224).to(dtype)
    network = network.to(dtype).train()
    for module in network.modules():
        if isinstance(module, torch.nn.Dropout):
            module.p = 0.0
    torch.nn.functional.cross_entropy(network(images), torch.arange(num_images)).backward()
    return {name: parameter.grad for name, parameter in trained}


def is_norm(network, name):
    return name.endswith("weight") and isinstance(network.features[int(name.split(".")[1])], torch.nn.BatchNorm2d)


if __name__ == "__main__":
    counts = [int(argument) for argument in sys.argv[1:]] or [4, 2]
    main(dict(zip(("alexnet", "vgg16"), counts, strict=True)))
