//! Measures on random cases beside those of scikit-learn, pycocotools and restated rules, which
//! `tests/python/make_measures.py` has written down.

#![allow(clippy::unwrap_used, missing_docs, reason = "tests")]

use deepcluster_evaluation::{
    BoundingBox, Detection, GroundTruth, PixelConfusion, PrecisionRecall, Relevance, WeightedKnnConfig,
    cluster_agreement, detection_curve, retrieval_average_precision, top_k_accuracy, weighted_knn,
};
use ndarray::Array2;
use serde_json::Value;

/// The cases of a kind, of which there must be `count`.
fn cases(kind: &str, count: usize) -> Vec<Value> {
    let all: Value = serde_json::from_str(include_str!("data/measures.json")).unwrap();
    let cases = all[kind].as_array().unwrap().clone();
    assert_eq!(cases.len(), count, "{kind}");
    cases
}

fn close(found: f64, case: &Value, name: &str) {
    let expected = case[name].as_f64().unwrap();
    assert!((found - expected).abs() < 1e-9, "{name}: {found} is not {expected}");
}

fn numbers(value: &Value) -> Vec<f64> {
    value.as_array().unwrap().iter().map(|number| number.as_f64().unwrap()).collect()
}

fn singles(value: &Value) -> Vec<f32> {
    numbers(value).into_iter().map(|number| number as f32).collect()
}

fn integers(value: &Value) -> Vec<u32> {
    value.as_array().unwrap().iter().map(|number| number.as_u64().unwrap() as u32).collect()
}

fn bytes(value: &Value) -> Vec<u8> {
    integers(value).into_iter().map(|number| number as u8).collect()
}

fn matrix(value: &Value) -> Array2<f32> {
    let rows: Vec<Vec<f32>> = value.as_array().unwrap().iter().map(singles).collect();
    let shape = (rows.len(), rows[0].len());
    Array2::from_shape_vec(shape, rows.concat()).unwrap()
}

fn all_close(found: &[f64], case: &Value, name: &str) {
    let expected = numbers(&case[name]);
    assert_eq!(found.len(), expected.len(), "{name}");
    for (found, expected) in found.iter().zip(expected) {
        assert!((found - expected).abs() < 1e-9, "{name}: {found} is not {expected}");
    }
}

#[test]
fn rankings() {
    for case in cases("rankings", 30) {
        let labels: Vec<bool> =
            case["labels"].as_array().unwrap().iter().map(|label| label.as_bool().unwrap()).collect();
        let num_positives = labels.iter().filter(|&&label| label).count();
        let curve = PrecisionRecall::new(&singles(&case["scores"]), &labels, num_positives).unwrap();
        all_close(&curve.recall, &case, "recall");
        all_close(&curve.precision, &case, "precision");
        close(curve.step_area(), &case, "step_area");
        close(curve.eleven_point(), &case, "eleven_point");
        close(curve.interpolated_area(), &case, "interpolated_area");
    }
}

fn bounds(value: &Value) -> BoundingBox {
    let sides = singles(value);
    BoundingBox { x_min: sides[0], y_min: sides[1], x_max: sides[2], y_max: sides[3] }
}

fn detections_and_objects(case: &Value) -> (Vec<Detection>, Vec<GroundTruth>) {
    let image = |value: &Value| value["image"].as_u64().unwrap() as usize;
    let detections = case["detections"].as_array().unwrap().iter().map(|found| Detection {
        image: image(found),
        bounds: bounds(&found["box"]),
        score: found["score"].as_f64().unwrap() as f32,
    });
    let objects = case["objects"].as_array().unwrap().iter().map(|object| GroundTruth {
        image: image(object),
        bounds: bounds(&object["box"]),
        is_difficult: object["difficult"].as_bool().unwrap(),
    });
    (detections.collect(), objects.collect())
}

#[test]
fn detections_by_the_rules_of_voc() {
    for case in cases("voc_detections", 8) {
        let (detections, objects) = detections_and_objects(&case);
        let curve = detection_curve(&detections, &objects, 0.5).unwrap();
        all_close(&curve.recall, &case, "recall");
        all_close(&curve.precision, &case, "precision");
        close(curve.eleven_point(), &case, "eleven_point");
        close(curve.interpolated_area(), &case, "interpolated_area");
    }
}

#[test]
fn detections_beside_pycocotools() {
    for case in cases("coco_detections", 3) {
        let (detections, objects) = detections_and_objects(&case);
        let curve = detection_curve(&detections, &objects, 0.5).unwrap();
        // COCO's precision at a recall is the best from there on.
        let best_from = |threshold: f64| {
            let reached =
                curve.recall.iter().zip(&curve.precision).filter(|(recall, _)| **recall >= threshold);
            reached.map(|(_, &precision)| precision).fold(0.0, f64::max)
        };
        let precision: Vec<f64> = (0..=100).map(|index| best_from(f64::from(index) / 100.0)).collect();
        all_close(&precision, &case, "precision");
        close(*curve.recall.last().unwrap(), &case, "last_recall");
    }
}

#[test]
fn segmentations() {
    for case in cases("segmentations", 6) {
        let mut confusion = PixelConfusion::new(case["num_classes"].as_u64().unwrap() as usize);
        confusion.add(&bytes(&case["predicted"]), &bytes(&case["truth"]), Some(255)).unwrap();
        let counts: Vec<Vec<u32>> = case["confusion"].as_array().unwrap().iter().map(integers).collect();
        let found: Vec<Vec<u32>> =
            confusion.counts().iter().map(|row| row.iter().map(|&count| count as u32).collect()).collect();
        assert_eq!(found, counts);
        let overlaps = confusion.class_overlaps();
        let present = integers(&case["present"]);
        let found: Vec<f64> = present.iter().map(|&class| overlaps[class as usize].unwrap()).collect();
        all_close(&found, &case, "overlaps");
        assert_eq!(overlaps.iter().flatten().count(), present.len());
        close(confusion.pixel_accuracy(), &case, "pixel_accuracy");
        assert!((confusion.mean_overlap() - found.iter().sum::<f64>() / found.len() as f64).abs() < 1e-12);
    }
}

#[test]
fn classes_among_the_best_scored() {
    for case in cases("top_k", 3) {
        let k = case["k"].as_u64().unwrap() as usize;
        let accuracy = top_k_accuracy(matrix(&case["scores"]).view(), &integers(&case["labels"]), k).unwrap();
        close(accuracy, &case, "accuracy");
    }
}

#[test]
fn clusters_and_labels() {
    for case in cases("agreements", 3) {
        let labels: Vec<Option<u32>> = integers(&case["labels"]).into_iter().map(Some).collect();
        let found = cluster_agreement(&integers(&case["clusters"]), &labels).unwrap();
        close(found.nmi_arithmetic, &case, "nmi_arithmetic");
        close(found.nmi_geometric, &case, "nmi_geometric");
        close(found.adjusted_rand_index, &case, "adjusted_rand_index");
        close(found.purity, &case, "purity");
    }
}

#[test]
fn votes_of_neighbors() {
    for case in cases("votes", 3) {
        let config = WeightedKnnConfig {
            num_neighbors: vec![case["k"].as_u64().unwrap() as usize],
            ..WeightedKnnConfig::default()
        };
        let found = weighted_knn(
            matrix(&case["train"]).view(),
            &integers(&case["train_labels"]),
            matrix(&case["test"]).view(),
            &integers(&case["test_labels"]),
            &config,
        );
        close(found.unwrap()[0].top1, &case, "top1");
    }
}

#[test]
fn landmarks() {
    for case in cases("landmarks", 3) {
        let relevance = |kind: u32| match kind {
            0 => Relevance::Irrelevant,
            1 => Relevance::Relevant,
            _ => Relevance::Ignored,
        };
        let ranking = integers(&case["kinds"]).into_iter().map(relevance);
        let num_relevant = case["num_relevant"].as_u64().unwrap() as usize;
        close(retrieval_average_precision(ranking, num_relevant).unwrap(), &case, "average_precision");
    }
}
