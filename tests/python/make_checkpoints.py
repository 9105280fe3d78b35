"""Writes the tiny checkpoints that the tests of `crates/models` import, in every serialisation PyTorch has had.

    python tests/python/make_checkpoints.py crates/models/tests/checkpoints

Each is loaded by PyTorch again before it counts. `expected.json` holds first and last value and L2 norm of every tensor.
"""

import io
import json
import pickle
import struct
import sys
import tarfile
from collections import OrderedDict
from pathlib import Path

import torch

from original_networks import OriginalNetwork

WIDTH = 1 / 128


def main(folder):
    folder.mkdir(parents=True, exist_ok=True)
    torch.manual_seed(1)
    network = sobel_filled(OriginalNetwork("alexnet", 64, True, WIDTH, num_clusters=3))
    checkpoint = trained_checkpoint(network)
    torch.save(checkpoint, folder / "alexnet-zip.pth.tar")
    torch.save(checkpoint, folder / "alexnet-legacy.pth.tar", _use_new_zipfile_serialization=False)
    save_tar(checkpoint["state_dict"], folder / "alexnet-tar.pth.tar")
    vgg16 = OriginalNetwork("vgg16", 32, False, WIDTH)
    torch.save(OrderedDict((f"module.{k}", v.half()) for k, v in plain_state(vgg16).items()), folder / "vgg16-half.pth")

    expected = {}
    for path in sorted(folder.glob("*.pth*")):
        loaded = torch.load(path, map_location="cpu", weights_only=False)
        state = loaded.get("state_dict", loaded)
        figures = {name.replace("module.", ""): figures_of(tensor) for name, tensor in state.items()}
        expected[path.name] = {"weights": figures}
        if "optimizer" in loaded:
            group, states = loaded["optimizer"]["param_groups"][0], loaded["optimizer"]["state"]
            names = [name for name, value in network.named_parameters() if not name.startswith(("sobel", "top_layer"))]
            momentum = [states[key]["momentum_buffer"] for key in group["params"]]
            expected[path.name]["momentum"] = dict(zip(names, map(figures_of, momentum), strict=True))
    (folder / "expected.json").write_text(json.dumps(expected, indent=1) + "\n")
    print(sum(path.stat().st_size for path in folder.iterdir()), "bytes")


def sobel_filled(network):
    grey, derivatives = network.sobel
    with torch.no_grad():
        grey.weight.fill_(1 / 3)
        grey.bias.zero_()
        derivatives.weight[0, 0] = torch.tensor([[1.0, 0.0, -1.0], [2.0, 0.0, -2.0], [1.0, 0.0, -1.0]])
        derivatives.weight[1, 0] = torch.tensor([[1.0, 2.0, 1.0], [0.0, 0.0, 0.0], [-1.0, -2.0, -1.0]])
        derivatives.bias.zero_()
    for parameter in network.sobel.parameters():
        parameter.requires_grad = False
    return network


def trained_checkpoint(network):
    """The dictionary that the original saves, after two steps on noise."""
    body = [p for name, p in network.named_parameters() if p.requires_grad and not name.startswith("top_layer")]
    optimizer = torch.optim.SGD(body, lr=0.05, momentum=0.9, weight_decay=1e-5)
    for _ in range(2):
        loss = torch.nn.functional.cross_entropy(network(torch.randn(4, 3, 64, 64)), torch.tensor([0, 1, 2, 0]))
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    state = OrderedDict((k.replace("features.", "features.module."), v) for k, v in plain_state(network).items())
    return {"epoch": 7, "arch": "alexnet", "state_dict": state, "optimizer": optimizer.state_dict()}


def plain_state(network):
    """Without the counters of batches, which PyTorch had none of then."""
    return OrderedDict((k, v.detach().clone()) for k, v in network.state_dict().items() if "num_batches" not in k)


def figures_of(tensor):
    values = tensor.double().flatten()
    return [values[0].item(), values[-1].item(), values.norm().item()]


def save_tar(state, path):
    """The form before PyTorch 0.1.10, which PyTorch still reads and no longer writes."""
    tensors = list(state.values())
    numbers = {id(tensor): 1000 + index for index, tensor in enumerate(tensors)}

    class Pickler(pickle.Pickler):
        def persistent_id(self, value):
            return str(numbers[id(value)]) if isinstance(value, torch.Tensor) else None

    pickled = io.BytesIO()
    Pickler(pickled, protocol=2).dump(state)
    storages, table = io.BytesIO(), io.BytesIO()
    pickle.dump(len(tensors), storages, protocol=2)
    pickle.dump(len(tensors), table, protocol=2)
    for index, tensor in enumerate(tensors):
        pickle.dump((2000 + index, "cpu", torch.FloatStorage), storages, protocol=2)
        storages.write(struct.pack("<q", tensor.numel()) + tensor.contiguous().numpy().tobytes())
        pickle.dump((1000 + index, 2000 + index, torch.FloatTensor), table, protocol=2)
        table.write(struct.pack("<ii", tensor.dim(), 0))
        table.write(struct.pack(f"<{tensor.dim()}q", *tensor.shape))
        table.write(struct.pack(f"<{tensor.dim()}q", *tensor.contiguous().stride()))
        table.write(struct.pack("<q", 0))
    pickle.dump([], storages, protocol=2)  # no views of storages
    info = {"protocol_version": 1000, "little_endian": True, "type_sizes": {"short": 2, "int": 4, "long": 4}}
    members = [
        ("sys_info", pickle.dumps(info, protocol=2)),
        ("pickle", pickled.getvalue()),
        ("tensors", table.getvalue()),
        ("storages", storages.getvalue()),
    ]
    with tarfile.open(path, "w", format=tarfile.USTAR_FORMAT) as archive:
        for name, contents in members:
            member = tarfile.TarInfo(name)
            member.size = len(contents)
            archive.addfile(member, io.BytesIO(contents))


if __name__ == "__main__":
    if len(sys.argv) != 2:
        sys.exit(__doc__)
    main(Path(sys.argv[1]))
