"""Writes random cases with the answers of public implementations, which tests of crates/evaluation read:

    pip install numpy scikit-learn pycocotools
    python tests/python/make_measures.py

scikit-learn answers for average precision, precision and recall, top-k, confusion, intersection over union and the
agreement of clusters; pycocotools for detections. The rules of the VOC development kit and of the Oxford and Paris
landmarks, which have no package, are stated anew from their descriptions.
"""

import contextlib
import io
import json
from pathlib import Path

import numpy as np
from pycocotools.coco import COCO
from pycocotools.cocoeval import COCOeval
from sklearn import metrics

PATH = Path(__file__).parents[2] / "crates/evaluation/tests/data/measures.json"
rng = np.random.default_rng(20180909)


def eleven_point(recall, precision):
    """VOC until 2009: mean over recalls 0, 0.1 .. 1 of the best precision from there on."""
    best = [max((p for r, p in zip(recall, precision) if r >= t - 1e-12), default=0.0) for t in np.arange(11) / 10]
    return float(np.mean(best))


def interpolated_area(recall, precision):
    """VOC from 2010: area under the curve made monotonous from the right."""
    recall = np.concatenate([[0.0], recall, [1.0]])
    precision = np.concatenate([[0.0], precision, [0.0]])
    precision = np.maximum.accumulate(precision[::-1])[::-1]
    return float(np.sum(np.diff(recall) * precision[1:]))


def ranking(num, ties):
    labels = rng.random(num) < rng.choice([0.1, 0.5, 0.9])
    labels[rng.integers(num)] = True
    scores = rng.integers(0, 4, num) / 4 if ties else rng.normal(size=num)
    scores = scores.astype(np.float32)
    # One point for each score, from the best down.
    precision, recall, _ = metrics.precision_recall_curve(labels, scores)
    precision, recall = precision[::-1][1:], recall[::-1][1:]
    return {
        "scores": scores.tolist(),
        "labels": labels.tolist(),
        "recall": recall.tolist(),
        "precision": precision.tolist(),
        "step_area": float(metrics.average_precision_score(labels, scores)),
        "eleven_point": eleven_point(recall, precision),
        "interpolated_area": interpolated_area(recall, precision),
    }


def overlap(a, b):
    """Boxes x1 y1 x2 y2 to which the last pixel belongs."""
    width = max(0.0, min(a[2], b[2]) - max(a[0], b[0]) + 1)
    height = max(0.0, min(a[3], b[3]) - max(a[1], b[1]) + 1)
    area = lambda box: (box[2] - box[0] + 1) * (box[3] - box[1] + 1)
    return width * height / (area(a) + area(b) - width * height)


def random_box(size=20):
    x, y = rng.integers(0, 60, 2)
    w, h = rng.integers(size // 2, size, 2)
    return [int(x), int(y), int(x + w), int(y + h)]


def voc_detection(num_images, num_objects, num_detections):
    objects = [
        {"image": int(rng.integers(num_images)), "box": random_box(), "difficult": bool(rng.random() < 0.25)}
        for _ in range(num_objects)
    ]
    detections = []
    for score in rng.permutation(num_detections):
        if rng.random() < 0.7:
            near = objects[rng.integers(num_objects)]
            box = [int(side + shift) for side, shift in zip(near["box"], rng.integers(-3, 4, 4))]
            image = near["image"]
        else:
            box, image = random_box(), int(rng.integers(num_images))
        detections.append({"image": image, "box": box, "score": float(np.float32((score + 1) / num_detections))})
    found, right = set(), []
    for detection in sorted(detections, key=lambda detection: -detection["score"]):
        here = [index for index, object in enumerate(objects) if object["image"] == detection["image"]]
        overlaps = [overlap(detection["box"], objects[index]["box"]) for index in here]
        best = here[int(np.argmax(overlaps))] if here else None
        if best is None or max(overlaps) < 0.5:
            right.append(False)
        elif objects[best]["difficult"]:
            continue
        else:
            right.append(best not in found)
            found.add(best)
    num_positives = sum(not object["difficult"] for object in objects)
    right = np.array(right)
    recall = np.cumsum(right) / num_positives
    precision = np.cumsum(right) / np.arange(1, len(right) + 1)
    return {
        "objects": objects,
        "detections": detections,
        "recall": recall.tolist(),
        "precision": precision.tolist(),
        "eleven_point": eleven_point(recall, precision),
        "interpolated_area": interpolated_area(recall, precision),
    }


def coco_detection(num_images, num_objects, num_detections):
    """Objects lie apart, and detections overlap one clearly or not at all, so that the rules of COCO, whose boxes end a
    pixel earlier and whose detections may take a second-best object, agree with those of VOC."""
    objects = []
    for image in range(num_images):
        for place in range(num_objects):
            x, y = 100 * (place % 4), 100 * (place // 4)
            w, h = (int(side) for side in rng.integers(30, 60, 2))
            objects.append({"image": image, "box": [x, y, x + w, y + h], "difficult": False})
    detections = []
    for score in rng.permutation(num_detections):
        near = objects[rng.integers(len(objects))]
        shift = rng.integers(-3, 4, 4) if rng.random() < 0.6 else np.array([60, 60, 60, 60])
        box = [int(side + move) for side, move in zip(near["box"], shift)]
        score = float(np.float32((score + 1) / num_detections))
        detections.append({"image": near["image"], "box": box, "score": score})
    size = lambda box: [box[0], box[1], box[2] - box[0], box[3] - box[1]]
    with contextlib.redirect_stdout(io.StringIO()):
        truth = COCO()
        truth.dataset = {
            "images": [{"id": image + 1} for image in range(num_images)],
            "categories": [{"id": 1}],
            "annotations": [
                {
                    "id": index + 1,
                    "image_id": object["image"] + 1,
                    "category_id": 1,
                    "iscrowd": 0,
                    "bbox": size(object["box"]),
                    "area": float(np.prod(size(object["box"])[2:])),
                }
                for index, object in enumerate(objects)
            ],
        }
        truth.createIndex()
        found = truth.loadRes(
            [
                {"image_id": d["image"] + 1, "category_id": 1, "bbox": size(d["box"]), "score": d["score"]}
                for d in detections
            ]
        )
        evaluation = COCOeval(truth, found, "bbox")
        evaluation.params.iouThrs = np.array([0.5])
        evaluation.params.maxDets = [10_000]
        evaluation.params.areaRng, evaluation.params.areaRngLbl = [[0, 1e10]], ["all"]
        evaluation.evaluate()
        evaluation.accumulate()
    return {
        "objects": objects,
        "detections": detections,
        # Precision at recalls 0, 0.01 .. 1.
        "precision": evaluation.eval["precision"][0, :, 0, 0, 0].tolist(),
        "last_recall": float(evaluation.eval["recall"][0, 0, 0, 0]),
    }


def segmentation(num_pixels, num_classes, void):
    truth = rng.integers(0, num_classes, num_pixels)
    predicted = np.where(rng.random(num_pixels) < 0.6, truth, rng.integers(0, num_classes, num_pixels))
    masked = np.where(rng.random(num_pixels) < (0.2 if void else 0.0), 255, truth)
    counted = masked != 255
    present = sorted(set(masked[counted]) | set(predicted[counted]))
    overlaps = metrics.jaccard_score(
        masked[counted], predicted[counted], labels=present, average=None, zero_division=0.0
    )
    return {
        "truth": masked.tolist(),
        "predicted": predicted.tolist(),
        "num_classes": num_classes,
        "confusion": metrics.confusion_matrix(
            masked[counted], predicted[counted], labels=list(range(num_classes))
        ).tolist(),
        "present": [int(label) for label in present],
        "overlaps": overlaps.tolist(),
        "pixel_accuracy": float(metrics.accuracy_score(masked[counted], predicted[counted])),
    }


def top_k(num, num_classes, k):
    scores = rng.normal(size=(num, num_classes)).astype(np.float32)
    labels = rng.integers(0, num_classes, num)
    share = metrics.top_k_accuracy_score(labels, scores, k=k, labels=list(range(num_classes)))
    return {"scores": scores.tolist(), "labels": labels.tolist(), "k": k, "accuracy": float(share)}


def agreement(num, num_clusters, num_labels):
    labels = rng.integers(0, num_labels, num)
    clusters = np.where(rng.random(num) < 0.5, labels % num_clusters, rng.integers(0, num_clusters, num))
    nmi = lambda norm: float(metrics.normalized_mutual_info_score(labels, clusters, average_method=norm))
    purity = metrics.cluster.contingency_matrix(labels, clusters).max(axis=0).sum() / num
    return {
        "clusters": clusters.tolist(),
        "labels": labels.tolist(),
        "nmi_arithmetic": nmi("arithmetic"),
        "nmi_geometric": nmi("geometric"),
        "adjusted_rand_index": float(metrics.adjusted_rand_score(labels, clusters)),
        "purity": float(purity),
    }


def votes(num_train, num_test, dim, num_classes, k):
    train = rng.normal(size=(num_train, dim)).astype(np.float32)
    test = rng.normal(size=(num_test, dim)).astype(np.float32)
    train_labels, test_labels = rng.integers(0, num_classes, num_train), rng.integers(0, num_classes, num_test)
    unit = lambda rows: rows.astype(np.float64) / np.linalg.norm(rows.astype(np.float64), axis=1, keepdims=True)
    cosine = unit(test) @ unit(train).T
    right = 0
    for row, label in zip(cosine, test_labels):
        nearest = np.argsort(-row, kind="stable")[:k]
        sums = np.zeros(num_classes)
        np.add.at(sums, train_labels[nearest], np.exp(row[nearest] / 0.07))
        right += int(np.argmax(sums) == label)
    return {
        "train": train.tolist(),
        "train_labels": train_labels.tolist(),
        "test": test.tolist(),
        "test_labels": test_labels.tolist(),
        "k": k,
        "top1": right / num_test,
    }


def landmarks(num, num_relevant, num_junk):
    """The area by trapezoids of the landmarks' own program; junk is taken out, and precision begins at 1."""
    kinds = np.zeros(num, dtype=int)
    kinds[rng.choice(num, num_relevant + num_junk, replace=False)] = [1] * num_relevant + [2] * num_junk
    # Some of what there is to find may not be in the ranking at all.
    num_relevant += int(rng.integers(0, 3))
    area, old_recall, old_precision, right, seen = 0.0, 0.0, 1.0, 0, 0
    for kind in kinds:
        if kind == 2:
            continue
        right += kind == 1
        recall, precision = right / num_relevant, right / (seen + 1)
        area += (recall - old_recall) * (old_precision + precision) / 2
        old_recall, old_precision = recall, precision
        seen += 1
    return {"kinds": kinds.tolist(), "num_relevant": num_relevant, "average_precision": float(area)}


cases = {
    "rankings": [ranking(n, ties) for n in (1, 2, 7, 40, 150) for ties in (False, True) for _ in range(3)],
    "voc_detections": [voc_detection(i, o, d) for i, o, d in ((1, 4, 9), (3, 12, 40), (6, 30, 80), (2, 5, 60)) for _ in range(2)],
    "coco_detections": [coco_detection(i, o, d) for i, o, d in ((1, 3, 8), (3, 6, 40), (2, 8, 60))],
    "segmentations": [segmentation(n, c, v) for n, c in ((30, 2), (200, 5), (200, 21)) for v in (False, True)],
    "top_k": [top_k(n, c, k) for n, c, k in ((1, 3, 1), (40, 12, 1), (40, 12, 5))],
    "agreements": [agreement(n, k, l) for n, k, l in ((12, 3, 3), (150, 10, 4), (150, 4, 10))],
    "votes": [votes(30, 20, 4, 3, k) for k in (1, 5, 20)],
    "landmarks": [landmarks(n, r, j) for n, r, j in ((10, 3, 2), (60, 15, 0), (60, 5, 20))],
}
PATH.parent.mkdir(parents=True, exist_ok=True)
PATH.write_text(json.dumps(cases, separators=(",", ":")) + "\n")
print({name: len(found) for name, found in cases.items()}, PATH.stat().st_size, "bytes")
