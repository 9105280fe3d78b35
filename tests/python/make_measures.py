"""Writes the random cases, with results, that `crates/evaluation/tests/agrees_with_python.rs` compares with.

    python tests/python/make_measures.py crates/evaluation/tests/data/measures.json

Results come from scikit-learn and pycocotools where they have the measure, else from the published rules of PASCAL VOC
and Oxford5k, stated anew here. Every input is a multiple of a power of two that `f32` holds exactly. A result of null
stands for a refusal: there is nothing to find.
"""

import contextlib
import io
import json
import sys
import warnings
from fractions import Fraction
from pathlib import Path

import numpy as np
from pycocotools.coco import COCO
from pycocotools.cocoeval import COCOeval
from sklearn import metrics
from sklearn.metrics.cluster import contingency_matrix
from sklearn.neighbors import KNeighborsClassifier

VOID = 255
CANNOT_TELL = 1e-4  # the crate rounds distances to f32: what lies closer than this, and is not equal, is drawn again


def main(path):
    warnings.filterwarnings("ignore", message="A single label was found")  # meant
    rng = np.random.default_rng(20180715)
    groups = {
        "rankings": rankings(rng),
        "detections": detections(rng),
        "coco": coco(rng),
        "segmentations": segmentations(rng),
        "top_k": top_k(rng),
        "weighted_knn": weighted_knn(rng),
        "knn": knn(rng),
        "cluster_agreement": cluster_agreement(rng),
        "retrieval": retrieval(rng),
    }
    path.parent.mkdir(parents=True, exist_ok=True)
    lines = []
    for group, cases in groups.items():
        rows = ",\n".join(json.dumps(rounded(case), separators=(",", ":"), allow_nan=False) for case in cases)
        lines.append(f'"{group}": [\n{rows}\n]')
        print(group, len(cases))
    path.write_text("{\n" + ",\n".join(lines) + "\n}\n")
    print(path.stat().st_size, "bytes")


def rounded(value):
    """Without the digits of results that nobody compares; inputs have fewer."""
    if isinstance(value, dict):
        return {key: rounded(part) for key, part in value.items()}
    if isinstance(value, list):
        return [rounded(part) for part in value]
    return round(value, 12) if isinstance(value, float) else value


def fixed(values, steps=1024):
    return (np.round(np.asarray(values) * steps) / steps).tolist()


def distinct_scores(rng, size):
    return (rng.permutation(4096)[:size] / 4096).tolist()


# Average precision.


def voc_areas(recalls, precisions):
    """The eleven-point rule (until 2009) and the interpolated area (from 2010 on) of the development kit of VOC.

    Recalls are fractions, so that a recall of 3/10 reaches 0.3; in floating point that hangs on the last bit.
    """
    best_at = [max((p for r, p in zip(recalls, precisions) if r >= Fraction(t, 10)), default=0.0) for t in range(11)]
    recall = np.concatenate([[0.0], [float(r) for r in recalls], [1.0]])
    envelope = np.maximum.accumulate(np.concatenate([[0.0], precisions, [0.0]])[::-1])[::-1]
    rises = np.flatnonzero(np.diff(recall)) + 1
    return sum(best_at) / 11, float(np.sum((recall[rises] - recall[rises - 1]) * envelope[rises]))


def voc_curve(scores, right, num_positives):
    """Recall as fractions and precision after each entry, best first, at the last of those of equal score.

    VOC leaves open what comes first of equal scores; scikit-learn counts them as one entry, and so does the crate.
    """
    order = np.argsort(-np.asarray(scores), kind="stable")
    scores, found = np.asarray(scores)[order], np.cumsum(np.asarray(right, dtype=int)[order])
    last = [i for i in range(len(scores)) if i + 1 == len(scores) or scores[i] != scores[i + 1]]
    return [Fraction(int(found[i]), num_positives) for i in last], [float(found[i] / (i + 1)) for i in last]


def ranking(scores, labels):
    """`labels`: 1 of the class, 0 not, None does not count."""
    case = {"scores": scores, "labels": labels, "results": None}
    counted = [(score, label) for score, label in zip(scores, labels) if label is not None]
    right = [label for _, label in counted]
    if not any(right):
        return case
    values = np.array([score for score, _ in counted])
    recalls, precisions = voc_curve(values, right, sum(right))
    eleven_point, interpolated_area = voc_areas(recalls, precisions)
    # scikit-learn lists the curve from the worst score to the best, and adds the point of recall 0.
    precision, recall, _ = metrics.precision_recall_curve(right, values)
    case["results"] = {
        "recall": recall[:-1][::-1].tolist(),
        "precision": precision[:-1][::-1].tolist(),
        "step_area": float(metrics.average_precision_score(right, values)),
        "eleven_point": eleven_point,
        "interpolated_area": interpolated_area,
    }
    return case


def rankings(rng):
    cases = [
        ranking([0.5], [1]),
        ranking([0.5], [0]),
        ranking([0.5], [None]),
        ranking([], []),
        ranking([0.25] * 8, [0, 1, 0, 1, None, 1, 0, 0]),
        ranking([0.0, -0.0, 0.0, -1.0], [1, 0, 1, 1]),
        ranking([3.0, 2.0, 1.0], [None, 0, 1]),
        ranking(list(range(20, 0, -1)), [1] * 3 + [0] * 3 + [1] * 7 + [0] * 7),  # 3 of 10 is a recall of exactly 0.3
        ranking(list(range(20)), [0, 1] * 10),
        ranking(list(range(12)), [1] * 12),
    ]
    for size in [2, 5, 10, 20, 50, 100, 200]:
        for share in [0.1, 0.5]:
            labels = (rng.random(size) < share).astype(int).tolist()
            unsure = [None if rng.random() < 0.2 else label for label in labels]
            cases.append(ranking(distinct_scores(rng, size), labels))
            cases.append(ranking(fixed(rng.normal(size=size)), unsure))
            cases.append(ranking(rng.integers(-3, 4, size).tolist(), unsure))  # mostly ties
    return cases


# Detection.


def voc_overlap(a, b):
    """Intersection over union of boxes whose last row and column of pixels belong to them."""
    width = min(a[2], b[2]) - max(a[0], b[0]) + 1
    height = min(a[3], b[3]) - max(a[1], b[1]) + 1
    if width <= 0 or height <= 0:
        return Fraction(0)
    area_a, area_b = ((x1 - x0 + 1) * (y1 - y0 + 1) for x0, y0, x1, y1 in (a, b))
    return Fraction(width * height, area_a + area_b - width * height)


def detection_case(objects, found, threshold):
    """`objects`: image, box, difficult; `found`: image, box, score."""
    case = {"objects": objects, "detections": found, "min_overlap": float(threshold), "results": None}
    num_positives = sum(not difficult for *_, difficult in objects)
    if num_positives == 0:
        return case
    taken, scores, right = set(), [], []
    for image, *box, score in sorted(found, key=lambda detection: -detection[-1]):
        overlaps = [(voc_overlap(box, o[1:5]), -i) for i, o in enumerate(objects) if o[0] == image]
        overlap, index = max(overlaps, default=(Fraction(0), 0))
        index = -index
        is_match = overlap >= threshold
        if is_match and objects[index][5]:
            continue
        scores.append(score)
        right.append(is_match and index not in taken)
        if is_match:
            taken.add(index)
    recalls, precisions = voc_curve(scores, right, num_positives)
    eleven_point, interpolated_area = voc_areas(recalls, precisions)
    case["results"] = {
        "recall": [float(r) for r in recalls],
        "precision": precisions,
        "eleven_point": eleven_point,
        "interpolated_area": interpolated_area,
    }
    return case


def random_box(rng, side):
    x, y = rng.integers(0, side, 2).tolist()
    width, height = rng.integers(6, 30, 2).tolist()
    return [x, y, x + width - 1, y + height - 1]


def shifted(rng, box, most):
    x0, y0, x1, y1 = (int(edge + shift) for edge, shift in zip(box, rng.integers(-most, most + 1, 4)))
    return [x0, y0, x1, y1]


def detections(rng):
    half, third = Fraction(1, 2), Fraction(1, 3)
    square = [0, 0, 9, 9]
    left = [0, 0, 4, 9]  # half of the square: an overlap of exactly 1/2
    cases = [
        detection_case([], [], half),
        detection_case([[0, *square, 0]], [], half),
        detection_case([[0, *square, 1]], [[0, *square, 0.5]], half),
        detection_case([], [[0, *square, 0.5]], half),
        detection_case([[0, *square, 0]], [[0, *left, 0.5]], half),
        detection_case([[0, *square, 0]], [[0, 0, 0, 3, 9, 0.5]], half),
        # Without the + 1 these share less than half: 8 of 17 instead of 9 of 18 in width.
        detection_case([[0, 0, 0, 17, 0, 0]], [[0, 0, 0, 8, 0, 0.5]], half),
        detection_case([[0, *square, 0]], [[1, *square, 0.5], [0, *square, 0.25]], half),
        detection_case([[0, *square, 0]], [[0, *square, 0.5], [0, *square, 0.5], [0, *square, 0.25]], half),
        # The best object is taken and another one would do: wrong all the same.
        detection_case([[0, *square, 0], [0, 2, 0, 11, 9, 0]], [[0, *square, 0.75], [0, *square, 0.5]], half),
        # Equally good objects: the first is meant.
        detection_case([[0, *square, 1], [0, *square, 0]], [[0, *square, 0.75]], half),
        detection_case([[0, *square, 0], [0, *square, 1]], [[0, *square, 0.75], [0, *square, 0.5]], half),
        # A box turned inside out overlaps nothing.
        detection_case([[0, *square, 0]], [[0, 9, 9, 0, 0, 0.75], [0, *square, 0.5]], half),
    ]
    for num_images, num_objects, num_wrong, side in [
        (1, 1, 1, 40),
        (1, 4, 4, 30),
        (2, 6, 6, 60),
        (3, 12, 10, 40),
        (5, 20, 30, 60),
        (8, 30, 40, 100),
    ]:
        for threshold in [half, third, Fraction(3, 4)]:
            for has_ties in [False, True]:
                objects = [
                    [int(rng.integers(num_images)), *random_box(rng, side), int(rng.random() < 0.25)]
                    for _ in range(num_objects)
                ]
                found = []
                for image, *box, _ in objects:
                    found += [[image, *shifted(rng, box, 4)] for _ in range(rng.integers(0, 4))]
                # One image more than there are objects in.
                found += [[int(rng.integers(num_images + 1)), *random_box(rng, side)] for _ in range(num_wrong)]
                scores = fixed(rng.integers(0, 5, len(found)) / 4) if has_ties else distinct_scores(rng, len(found))
                found = [[*detection, score] for detection, score in zip(found, scores)]
                cases.append(detection_case(objects, found, threshold))
    return cases


def coco(rng):
    """Detections by COCOeval at an overlap of 0.5, one case per class.

    COCO lets a detection take the second best object where the best is taken; VOC does not. Both agree where objects
    of a class keep apart, as here: then no detection overlaps two by half. A box of COCO is position and size, so that
    the + 1 of VOC is in its size.
    """
    cases = []
    for num_images, num_classes, share in [(1, 1, 1.0), (2, 3, 0.5), (4, 4, 0.3), (6, 5, 0.2), (10, 3, 0.3)]:
        objects, found = [], []
        for category in range(num_classes):
            if category == 1:  # never occurs, but is detected
                found += [[category, 0, *random_box(rng, 100)] for _ in range(3)]
                continue
            if category == 3:  # occurs and is never detected
                objects.append([category, 0, 5, 5, 20, 25])
                continue
            for image in range(num_images):
                for cell in range(9):
                    if rng.random() >= share:
                        continue
                    x, y = 50 * (cell % 3) + int(rng.integers(0, 10)), 50 * (cell // 3) + int(rng.integers(0, 10))
                    width, height = rng.integers(12, 32, 2).tolist()
                    box = [x, y, x + width - 1, y + height - 1]
                    objects.append([category, image, *box])
                    found += [[category, image, *shifted(rng, box, 5)] for _ in range(rng.integers(0, 4))]
                    if width % 2 == 0:
                        half = [x, y, x + width // 2 - 1, box[3]]  # an overlap of exactly 0.5
                        found.append([category, image, *half])
                found += [[category, image, *random_box(rng, 120)] for _ in range(4)]
        scores = distinct_scores(rng, len(found))
        found = [[*detection, score] for detection, score in zip(found, scores)]
        for category, result in enumerate(coco_results(objects, found, num_images, num_classes)):
            cases.append(
                {
                    "objects": [[*o[1:], 0] for o in objects if o[0] == category],
                    "detections": [d[1:] for d in found if d[0] == category],
                    "min_overlap": 0.5,
                    "results": result,
                }
            )
    return cases


def coco_results(objects, found, num_images, num_classes):
    def as_coco(box):
        x0, y0, x1, y1 = box
        return [x0, y0, x1 - x0 + 1, y1 - y0 + 1]

    annotations = [
        {
            "id": index + 1,
            "image_id": image + 1,
            "category_id": category + 1,
            "bbox": as_coco(box),
            "area": as_coco(box)[2] * as_coco(box)[3],
            "iscrowd": 0,
        }
        for index, (category, image, *box) in enumerate(objects)
    ]
    results = [
        {"image_id": image + 1, "category_id": category + 1, "bbox": as_coco(box), "score": score}
        for category, image, *box, score in found
    ]
    with contextlib.redirect_stdout(io.StringIO()):
        truth = COCO()
        truth.dataset = {
            "info": {},
            "images": [{"id": image + 1} for image in range(num_images)],
            "categories": [{"id": category + 1} for category in range(num_classes)],
            "annotations": annotations,
        }
        truth.createIndex()
        evaluation = COCOeval(truth, truth.loadRes(results), "bbox")
        evaluation.params.iouThrs = np.array([0.5])
        evaluation.params.maxDets = [100_000]
        evaluation.params.areaRng, evaluation.params.areaRngLbl = [[0, 1e10]], ["all"]
        evaluation.evaluate()
        evaluation.accumulate()
    outcome = []
    for category in range(num_classes):
        points = evaluation.eval["precision"][0, :, category, 0, 0]
        num_positives = sum(o[0] == category for o in objects)
        assert (num_positives == 0) == bool((points == -1).all())
        if num_positives == 0:
            outcome.append(None)
            continue
        images = [e for e in evaluation.evalImgs if e is not None and e["category_id"] == category + 1]
        scores = [score for e in images for score in e["dtScores"]]
        right = [match > 0 for e in images for match in e["dtMatches"][0]]
        order = np.argsort(-np.array(scores), kind="stable")
        found_so_far = np.cumsum(np.array(right, dtype=int)[order])
        outcome.append(
            {
                "recall": (found_so_far / num_positives).tolist(),
                "precision": (found_so_far / np.arange(1, len(scores) + 1)).tolist(),
                "largest_recall": float(evaluation.eval["recall"][0, category, 0, 0]),
                "points": points.tolist(),
                "average_precision": float(points.mean()),
            }
        )
    return outcome


# Segmentation.


def segmentations(rng):
    cases = []
    for num_classes, sizes, void_share, classes in [
        (1, [1], 0.0, [0]),
        (3, [1], 1.0, [0]),  # nothing but void
        (3, [], 0.0, [0]),
        (2, [40], 0.0, [0, 1]),
        (4, [30, 1, 60], 0.2, [0, 1, 3]),  # class 2 never occurs
        (21, [150, 100], 0.1, list(range(21))),
        (21, [64, 64, 64], 0.3, [0, 7, 15, 20]),
        (5, [80], 0.0, [4]),  # one class, predicted as two
        (256, [100], 0.0, list(range(256))),
    ]:
        void = VOID if void_share > 0 else None
        images = []
        for size in sizes:
            truth = rng.choice(classes, size)
            predicted = np.where(rng.random(size) < 0.6, truth, rng.choice(classes, size))
            if classes == [4]:
                predicted = rng.choice([1, 4], size)
            truth = np.where(rng.random(size) < void_share, VOID, truth)
            images.append([predicted.tolist(), truth.tolist()])
        predicted, truth = (np.array([c for image in images for c in image[part]], dtype=int) for part in range(2))
        counted = np.ones(len(truth), dtype=bool) if void is None else truth != void
        predicted, truth = predicted[counted], truth[counted]
        overlaps, majority, accuracy, confusion = {}, 0.0, 0.0, []
        if len(truth) > 0:
            occur = np.unique(np.concatenate([truth, predicted])).tolist()
            scores = metrics.jaccard_score(truth, predicted, labels=occur, average=None, zero_division=0)
            overlaps = dict(zip(occur, scores.tolist()))
            present, counts = np.unique(truth, return_counts=True)
            constant = np.full(len(truth), present[counts.argmax()])
            majority = metrics.jaccard_score(truth, constant, labels=present, average="macro", zero_division=0)
            accuracy = metrics.accuracy_score(truth, predicted)
            table = metrics.confusion_matrix(truth, predicted, labels=range(num_classes))
            # Truth, prediction and count of what occurs, for brevity.
            confusion = [[int(t), int(p), int(table[t, p])] for t, p in zip(*np.nonzero(table))]
        cases.append(
            {
                "num_classes": num_classes,
                "void": void,
                "images": images,
                "confusion": confusion,
                "overlaps": [overlaps.get(c) for c in range(num_classes)],
                "mean_overlap": sum(overlaps.values()) / max(1, len(overlaps)),
                "majority_overlap": float(majority),
                "pixel_accuracy": float(accuracy),
            }
        )
    return cases


# Classification.


def lowest_first_top_k(labels, scores, k):
    """`top_k_accuracy_score`, for which of equal scores the last class is first; for the crate it is the first class.

    That is the same with the order of the classes reversed.
    """
    num_classes = scores.shape[1]
    if num_classes == 1:
        return 1.0
    if num_classes == 2:  # scikit-learn wants one column then
        return float(metrics.accuracy_score(labels, scores.argmax(axis=1))) if k == 1 else 1.0
    reverse, labels = scores[:, ::-1], num_classes - 1 - np.asarray(labels)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # where k reaches the number of classes
        return float(metrics.top_k_accuracy_score(labels, reverse, k=k, labels=range(num_classes)))


def top_k(rng):
    cases = []
    for num_samples, num_classes in [(1, 1), (1, 3), (7, 2), (20, 3), (30, 10), (12, 40)]:
        for kind in ["distinct", "ties", "equal"]:
            scores = rng.normal(size=(num_samples, num_classes))
            labels = rng.integers(0, num_classes, num_samples)
            scores[np.arange(num_samples), labels] += 0.7
            if kind == "distinct":
                scores = fixed(scores)
            elif kind == "ties":
                scores = np.round(scores).tolist()
            else:
                scores = np.zeros_like(scores).tolist()
            accuracies = [[k, lowest_first_top_k(labels, np.array(scores), k)] for k in [1, 2, 5, num_classes]]
            cases.append({"scores": scores, "labels": labels.tolist(), "accuracies": accuracies})
    return cases


def normalized(features):
    features = np.array(features)
    norms = np.linalg.norm(features, axis=1, keepdims=True)
    return features / np.where(norms > 0, norms, 1.0)


def clear(values):
    """Whether each two of `values` are either equal or so far apart that rounding cannot swap them."""
    gaps = np.diff(np.sort(values))
    return bool(np.all((gaps < 1e-12) | (gaps > CANNOT_TELL)))


def weighted_knn(rng):
    cases = []
    sizes = [(1, 3, 2, 2), (6, 5, 3, 2), (20, 15, 4, 3), (40, 20, 8, 4), (60, 12, 25, 5)]
    for num_train, num_test, num_classes, dim in sizes:
        # Where it is cold, the votes of copies are neither equal nor clearly different.
        for temperature, has_copies in [(0.07, False), (0.5, False), (0.5, True), (0.005, False)]:
            case = None
            while case is None:
                case = weighted_knn_case(rng, num_train, num_test, num_classes, dim, temperature, has_copies)
            cases.append(case)
    # Every training image is far from the test image: all weights exp(cos / 0.001) are 0 in floating point.
    cases.append(weighted_knn_case(rng, 0, 0, 3, 2, 0.001, False, ([[-1, 0.5], [-1, 0.75]], [1, 2], [[1, 0]], [2])))
    return cases


def weighted_knn_case(rng, num_train, num_test, num_classes, dim, temperature, has_copies, data=None):
    if data is None:
        train = np.array(fixed(rng.normal(size=(num_train, dim)), 64))
        test = np.array(fixed(rng.normal(size=(num_test, dim)), 64))
        train_labels = rng.integers(0, num_classes, num_train)
        test_labels = rng.integers(0, num_classes, num_test)
        if has_copies:  # of other length, and mostly of another label
            train[num_train // 2 :] = 2 * train[: num_train - num_train // 2]
    else:
        train, train_labels, test, test_labels = (np.array(part) for part in data)
        num_train = len(train)
    total = 1 + int(max(train_labels.max(), test_labels.max()))
    differences = normalized(test)[:, None, :] - normalized(train)[None, :, :]
    distances = (differences**2).sum(axis=2)
    order = np.argsort(np.where(distances < 1e-15, 0.0, distances.round(13)), axis=1, kind="stable")
    accuracies = []
    for k in [1, 3, 10, 200]:
        votes = np.full((len(test), total), -np.inf)  # logarithms, as the weights may be too small for f64
        for row, neighbors in enumerate(order[:, : min(k, num_train)]):
            if k < num_train and not clear(distances[row, order[row, k - 1 : k + 1]]):
                return None
            for label in np.unique(train_labels[neighbors]):
                cosines = 1 - distances[row, neighbors[train_labels[neighbors] == label]] / 2
                votes[row, label] = np.logaddexp.reduce(cosines / temperature)
            if not clear(votes[row][np.isfinite(votes[row])]):
                return None
            # Votes of less than this share of the best are nothing to the crate.
            votes[row][votes[row] < votes[row].max() - 600] = -np.inf
        # scikit-learn refuses infinities, and equal votes may differ in their last bit.
        finite = np.where(np.isfinite(votes), votes, -1e9).round(9)
        top1, top5 = (lowest_first_top_k(test_labels, finite, number) for number in [1, 5])
        if not has_copies:

            def weights(lengths):
                squares = lengths**2
                return np.exp(-(squares - squares.min(axis=1, keepdims=True)) / 2 / temperature)

            classifier = KNeighborsClassifier(min(k, num_train), weights=weights, algorithm="brute")
            classifier.fit(normalized(train), train_labels)
            assert np.isclose(top1, np.mean(classifier.predict(normalized(test)) == test_labels))
        accuracies.append([k, top1, top5])
    return {
        "train": train.tolist(),
        "train_labels": train_labels.tolist(),
        "test": test.tolist(),
        "test_labels": test_labels.tolist(),
        "temperature": temperature,
        "accuracies": accuracies,
    }


def knn(rng):
    """Leave one out; of labels with equally many votes that of the nearest wins, for scikit-learn the lowest."""
    cases = []
    for num_samples, num_classes, dim in [(2, 1, 2), (5, 2, 2), (20, 2, 3), (40, 6, 4), (60, 10, 3)]:
        for has_copies in [False, True]:
            for k in [1, 2, 3, 10]:
                if k >= num_samples:
                    continue
                case = None
                while case is None:
                    case = knn_case(rng, num_samples, num_classes, dim, has_copies, k)
                cases.append(case)
    return cases


def knn_case(rng, num_samples, num_classes, dim, has_copies, k):
    features = np.array(fixed(rng.normal(size=(num_samples, dim)), 64))
    if has_copies:
        features[num_samples // 2 :] = 2 * features[: num_samples - num_samples // 2]
    labels = rng.integers(0, num_classes, num_samples).tolist()
    if num_samples > 12:
        labels = [None if rng.random() < 0.1 else label for label in labels]
    rows = [row for row, label in enumerate(labels) if label is not None]
    points, truth = normalized(features)[rows], np.array([labels[row] for row in rows])
    distances = ((points[:, None, :] - points[None, :, :]) ** 2).sum(axis=2)
    np.fill_diagonal(distances, np.inf)
    order = np.argsort(distances.round(13), axis=1, kind="stable")
    votes_right = []
    for row, neighbors in enumerate(order):
        near = distances[row, neighbors[: k + 1]]
        if not clear(near[np.isfinite(near)]):
            return None
        ranked = truth[neighbors[:k]].tolist()
        most = max(ranked.count(label) for label in ranked)
        winners = {label for label in ranked if ranked.count(label) == most}
        winner = next(label for label in ranked if label in winners)
        votes_right.append(winner == truth[row])
        if len(winners) == 1 and not has_copies:  # scikit-learn has no choice
            others = np.arange(len(rows)) != row
            classifier = KNeighborsClassifier(k, algorithm="brute").fit(points[others], truth[others])
            assert classifier.predict(points[row : row + 1])[0] == winner
    return {
        "features": features.tolist(),
        "labels": labels,
        "num_neighbors": k,
        "accuracy": float(np.mean(votes_right)),
    }


# Clusters.


def cluster_agreement(rng):
    drawn = [
        ([3], [7]),
        ([0, 0, 0, 0], [5, 5, 5, 5]),
        ([0, 0, 0, 0], [0, 1, 2, 3]),
        ([0, 1, 2, 3], [9, 9, 9, 9]),
        ([4, 3, 2, 1], [1, 2, 3, 4]),
        ([0, 0, 1, 1], [0, 1, 0, 1]),
        ([0, 0, 1, 1, 2], [7, 7, 3, None, None]),
        ([1, 2], [None, None]),
    ]
    sizes = [(10, 2, 2), (30, 5, 3), (100, 20, 4), (100, 4, 20), (300, 10, 10), (50, 40, 40)]
    for size, num_clusters, num_labels in sizes:
        for noise in [0.0, 0.3, 1.0]:
            labels = rng.integers(0, num_labels, size)
            clusters = np.where(rng.random(size) < noise, rng.integers(0, num_clusters, size), labels % num_clusters)
            labels = [None if rng.random() < 0.1 else label for label in labels.tolist()]
            drawn.append((clusters.tolist(), labels))
    cases = []
    for clusters, labels in drawn:
        counted = [(c, label) for c, label in zip(clusters, labels) if label is not None]
        results = None
        if counted:
            c, t = zip(*counted)
            results = {
                "nmi_arithmetic": float(metrics.normalized_mutual_info_score(t, c, average_method="arithmetic")),
                "nmi_geometric": float(metrics.normalized_mutual_info_score(t, c, average_method="geometric")),
                "adjusted_rand_index": float(metrics.adjusted_rand_score(t, c)),
                "purity": float(contingency_matrix(t, c).max(axis=0).sum() / len(t)),
                "num_labelled": len(t),
            }
        cases.append({"clusters": clusters, "labels": labels, "results": results})
    return cases


# Retrieval.


def retrieval_case(ranking, num_missing):
    """`ranking`: `+` belongs to the query, `-` does not, `?` is junk. `num_missing` are not in the ranking at all."""
    counted = [mark == "+" for mark in ranking if mark != "?"]
    num_relevant = sum(counted) + num_missing
    case = {"ranking": ranking, "num_relevant": num_relevant, "average_precision": None}
    case["found_within"] = [[k, any(counted[:k])] for k in [0, 1, 5, 10]]
    if num_relevant > 0:
        found = np.cumsum(np.array(counted, dtype=int))
        recall = np.concatenate([[0.0], found / num_relevant])
        precision = np.concatenate([[1.0], found / np.arange(1, len(counted) + 1)])
        area = float(np.trapezoid(precision, recall))
        # The same as each relevant image adds it: the mean of the precisions just before and at its rank.
        ranks = np.flatnonzero(counted)
        before = [i / rank if rank > 0 else 1.0 for i, rank in enumerate(ranks)]
        at = [(i + 1) / (rank + 1) for i, rank in enumerate(ranks)]
        assert np.isclose(area, (sum(before) + sum(at)) / 2 / num_relevant, rtol=0, atol=1e-12)
        case["average_precision"] = area
    return case


def retrieval(rng):
    fixed_cases = [("", 0), ("", 2), ("+", 0), ("-", 0), ("?", 0), ("?", 1), ("-+", 0), ("+-", 3), ("??+??-?+?", 0)]
    cases = [retrieval_case(ranking, missing) for ranking, missing in fixed_cases]
    for size in [5, 20, 100, 400]:
        for share in [0.05, 0.3, 0.9]:
            for junk in [0.0, 0.2]:
                marks = rng.choice(list("+-?"), size, p=[share * (1 - junk), (1 - share) * (1 - junk), junk])
                cases.append(retrieval_case("".join(marks), int(rng.integers(0, 4))))
    return cases


if __name__ == "__main__":
    if len(sys.argv) != 2:
        sys.exit(__doc__)
    main(Path(sys.argv[1]))
