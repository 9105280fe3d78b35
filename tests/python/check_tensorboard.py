"""Compares the event file of a run with its metrics.jsonl and timings.jsonl, by TensorBoard's own reader.

    pip install tensorboard
    python tests/python/check_tensorboard.py RUN
"""

import json
import math
import sys
from pathlib import Path

from tensorboard.backend.event_processing.event_accumulator import EventAccumulator


def main(run):
    events = EventAccumulator(str(run / "tensorboard"), size_guidance={"scalars": 0, "histograms": 0, "tensors": 0})
    events.Reload()
    found = {
        tag: {event.step: event.value for event in events.Scalars(tag)} for tag in events.Tags()["scalars"]
    }
    metrics, timings = (
        [json.loads(line) for line in (run / name).read_text().splitlines()] for name in ("metrics.jsonl", "timings.jsonl")
    )
    num_compared = 0
    expected = {}
    for line, timing in zip(metrics, timings, strict=True):
        labels = line["labels"] or {}
        was_trained = line["loss"] is not None
        numbers = {
            "train/loss": line["loss"],
            "clusters/nmi_to_previous": line["nmi_to_previous"],
            "clusters/inertia": line["inertia"],
            "clusters/num_empty": line["num_empty"],
            "labels/nmi": labels.get("nmi_arithmetic"),
            "labels/adjusted_rand_index": labels.get("adjusted_rand_index"),
            "labels/purity": labels.get("purity"),
            "labels/knn_accuracy": line["knn_accuracy"],
            "speed/features_images_per_second": timing["features_images_per_second"],
            "speed/training_images_per_second": timing["training_images_per_second"] if was_trained else None,
            "seconds/features": timing["features_seconds"],
            "seconds/whitening": timing["whitening_seconds"],
            "seconds/clustering": timing["clustering_seconds"],
            "seconds/training": timing["training_seconds"] if was_trained else None,
        }
        for tag, value in numbers.items():
            if value is not None:
                expected.setdefault(tag, {})[line["epoch"]] = value
        histogram = {event.step: event.histogram_value for event in events.Histograms("clusters/sizes")}[line["epoch"]]
        sizes = line["cluster_sizes"]
        assert histogram.num == len(sizes) and histogram.sum == sum(sizes), (line["epoch"], histogram)
        assert (histogram.min, histogram.max) == (min(sizes), max(sizes)), (line["epoch"], histogram)
    rates = found.pop("train/learning_rate", {})
    assert set(rates) == set(expected.get("train/loss", {})), "epochs of the learning rate"
    assert set(found) == set(expected), set(found) ^ set(expected)
    for tag, points in expected.items():
        assert set(points) == set(found[tag]), f"{tag}: epochs {sorted(found[tag])}, not {sorted(points)}"
        for epoch, value in points.items():
            assert math.isclose(value, found[tag][epoch], rel_tol=1e-6, abs_tol=1e-12), (tag, epoch)
            num_compared += 1
    text = events.Tensors("config/text_summary")[0].tensor_proto.string_val[0].decode()
    assert (run / "config.toml").read_text().strip() in text, "the settings are not those of config.toml"
    print(f"{num_compared} points of {len(metrics)} epochs agree")


if __name__ == "__main__":
    if len(sys.argv) != 2:
        sys.exit(__doc__)
    main(Path(sys.argv[1]))
