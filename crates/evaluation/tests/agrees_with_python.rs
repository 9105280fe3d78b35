//! Every measure against scikit-learn, pycocotools, and the rules of PASCAL VOC and Oxford5k stated in
//! Python.
//!
//! The cases beside this file come from `tests/python/make_measures.py`, which says what each result is.
#![allow(clippy::unwrap_used, clippy::print_stderr, reason = "tests")]

use std::fs;
use std::path::Path;

use deepcluster_evaluation::{
    BoundingBox, Detection, EvaluationError, GroundTruth, PixelConfusion, PrecisionRecall, Relevance,
    WeightedKnnConfig, classification_curve, cluster_agreement, detection_curve, found_within, knn_accuracy,
    retrieval_average_precision, top_k_accuracy, weighted_knn,
};
use ndarray::Array2;
use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::Value;

const TOLERANCE: f64 = 1e-9;

/// The cases of one group, and what has been compared of them.
struct Comparison {
    group: &'static str,
    num_compared: usize,
    worst: f64,
}

impl Comparison {
    fn new(group: &'static str) -> Self {
        Self { group, num_compared: 0, worst: 0.0 }
    }

    fn close(&mut self, case: usize, what: &str, ours: f64, theirs: f64) {
        let difference = (ours - theirs).abs();
        // Not `>`, which is false for what is not a number.
        assert!(difference <= TOLERANCE, "{} {case}, {what}: {ours} is not {theirs}", self.group);
        self.num_compared += 1;
        self.worst = self.worst.max(difference);
    }

    fn all_close(&mut self, case: usize, what: &str, ours: &[f64], theirs: &[f64]) {
        assert_eq!(ours.len(), theirs.len(), "{} {case}, number of {what}", self.group);
        ours.iter().zip(theirs).for_each(|(&ours, &theirs)| self.close(case, what, ours, theirs));
    }

    /// Ends the group: a fixture that has lost cases must not pass.
    fn finish(self, num_expected: usize) {
        let Self { group, num_compared, worst } = self;
        eprintln!("{group}: {num_compared} numbers, worst difference {worst:e}");
        assert_eq!(num_compared, num_expected, "{group}: numbers compared");
    }
}

fn cases<T: DeserializeOwned>(group: &str, num_expected: usize) -> Vec<T> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/data/measures.json");
    let mut groups: Value = serde_json::from_slice(&fs::read(path).unwrap()).unwrap();
    assert_eq!(groups.as_object().unwrap().len(), 9, "groups of cases");
    let cases: Vec<T> = serde_json::from_value(groups[group].take()).unwrap();
    assert_eq!(cases.len(), num_expected, "cases of {group}");
    cases
}

/// `None` where there was nothing to find; any other error fails.
fn unless_nothing_to_find<T>(outcome: Result<T, EvaluationError>) -> Option<T> {
    match outcome {
        Err(EvaluationError::NoPositives) => None,
        other => Some(other.unwrap()),
    }
}

fn matrix(rows: &[Vec<f32>]) -> Array2<f32> {
    Array2::from_shape_vec((rows.len(), rows[0].len()), rows.concat()).unwrap()
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct CurveResults {
    recall: Vec<f64>,
    precision: Vec<f64>,
    step_area: Option<f64>,
    eleven_point: f64,
    interpolated_area: f64,
}

impl CurveResults {
    fn compare(&self, comparison: &mut Comparison, case: usize, curve: &PrecisionRecall) {
        comparison.all_close(case, "recall", &curve.recall, &self.recall);
        comparison.all_close(case, "precision", &curve.precision, &self.precision);
        if let Some(step_area) = self.step_area {
            comparison.close(case, "step area", curve.step_area(), step_area);
        }
        comparison.close(case, "eleven points", curve.eleven_point(), self.eleven_point);
        comparison.close(case, "interpolated area", curve.interpolated_area(), self.interpolated_area);
    }
}

#[test]
fn average_precision_of_rankings() {
    #[derive(Deserialize)]
    struct Case {
        scores: Vec<f32>,
        labels: Vec<Option<u8>>,
        results: Option<CurveResults>,
    }
    let mut comparison = Comparison::new("rankings");
    let mut num_refused = 0;
    for (number, case) in cases::<Case>("rankings", 52).iter().enumerate() {
        let labels: Vec<Option<bool>> =
            case.labels.iter().map(|label| label.map(|label| label == 1)).collect();
        let curve = unless_nothing_to_find(classification_curve(&case.scores, &labels));
        assert_eq!(curve.is_some(), case.results.is_some(), "{number}");
        num_refused += usize::from(curve.is_none());
        if let (Some(curve), Some(results)) = (curve, &case.results) {
            assert!(results.step_area.is_some(), "{number}");
            results.compare(&mut comparison, number, &curve);
        }
    }
    assert_eq!(num_refused, 9);
    comparison.finish(3123);
}

#[derive(Deserialize)]
struct DetectionCase<T> {
    objects: Vec<(usize, f32, f32, f32, f32, u8)>,
    detections: Vec<(usize, f32, f32, f32, f32, f32)>,
    min_overlap: f32,
    results: Option<T>,
}

impl<T> DetectionCase<T> {
    fn curve(&self) -> Option<PrecisionRecall> {
        let object = |&(image, x_min, y_min, x_max, y_max, difficult)| GroundTruth {
            image,
            bounds: BoundingBox { x_min, y_min, x_max, y_max },
            is_difficult: difficult == 1,
        };
        let detection = |&(image, x_min, y_min, x_max, y_max, score)| Detection {
            image,
            bounds: BoundingBox { x_min, y_min, x_max, y_max },
            score,
        };
        let objects: Vec<GroundTruth> = self.objects.iter().map(object).collect();
        let detections: Vec<Detection> = self.detections.iter().map(detection).collect();
        unless_nothing_to_find(detection_curve(&detections, &objects, self.min_overlap))
    }
}

#[test]
fn detection_by_the_rules_of_voc() {
    let mut comparison = Comparison::new("detections");
    let mut num_refused = 0;
    for (number, case) in cases::<DetectionCase<CurveResults>>("detections", 49).iter().enumerate() {
        let curve = case.curve();
        assert_eq!(curve.is_some(), case.results.is_some(), "{number}");
        num_refused += usize::from(curve.is_none());
        if let (Some(curve), Some(results)) = (curve, &case.results) {
            results.compare(&mut comparison, number, &curve);
        }
    }
    assert_eq!(num_refused, 4);
    comparison.finish(1374);
}

#[test]
fn detection_by_coco_where_its_rules_are_those_of_voc() {
    #[derive(Deserialize)]
    struct Results {
        recall: Vec<f64>,
        precision: Vec<f64>,
        largest_recall: f64,
        points: Vec<f64>,
        average_precision: f64,
    }
    let mut comparison = Comparison::new("coco");
    let mut num_refused = 0;
    for (number, case) in cases::<DetectionCase<Results>>("coco", 16).iter().enumerate() {
        let curve = case.curve();
        assert_eq!(curve.is_some(), case.results.is_some(), "{number}");
        num_refused += usize::from(curve.is_none());
        let (Some(curve), Some(results)) = (curve, &case.results) else { continue };
        comparison.all_close(number, "recall", &curve.recall, &results.recall);
        comparison.all_close(number, "precision", &curve.precision, &results.precision);
        let largest = curve.recall.last().copied().unwrap_or(0.0);
        comparison.close(number, "largest recall", largest, results.largest_recall);
        // The crate has no mean over 101 points; COCO compares with recalls 0.01 * i as they round, and so do
        // these.
        let best_from = |hundredth: u8| {
            let recalls = curve.recall.iter().zip(&curve.precision);
            let reached = recalls.filter(|(recall, _)| **recall >= f64::from(hundredth) * 0.01);
            reached.map(|(_, &precision)| precision).fold(0.0, f64::max)
        };
        let points: Vec<f64> = (0..=100).map(best_from).collect();
        comparison.all_close(number, "101 points", &points, &results.points);
        let mean = points.iter().sum::<f64>() / 101.0;
        comparison.close(number, "average precision", mean, results.average_precision);
    }
    assert_eq!(num_refused, 4);
    comparison.finish(2192);
}

#[test]
fn overlaps_of_segmentations() {
    #[derive(Deserialize)]
    struct Case {
        num_classes: usize,
        void: Option<u8>,
        /// Predicted and true classes of each image.
        images: Vec<(Vec<u8>, Vec<u8>)>,
        /// Truth, prediction and their count, where it is not 0.
        confusion: Vec<(usize, usize, u64)>,
        overlaps: Vec<Option<f64>>,
        mean_overlap: f64,
        majority_overlap: f64,
        pixel_accuracy: f64,
    }
    let mut comparison = Comparison::new("segmentations");
    for (number, case) in cases::<Case>("segmentations", 9).iter().enumerate() {
        let mut confusion = PixelConfusion::new(case.num_classes);
        for (predicted, truth) in &case.images {
            confusion.add(predicted, truth, case.void).unwrap();
        }
        let mut counts = vec![vec![0; case.num_classes]; case.num_classes];
        case.confusion.iter().for_each(|&(truth, predicted, count)| counts[truth][predicted] = count);
        assert_eq!(confusion.counts(), counts, "{number}");
        let overlaps = confusion.class_overlaps();
        assert_eq!(overlaps.len(), case.overlaps.len(), "{number}");
        for (class, (ours, theirs)) in overlaps.iter().zip(&case.overlaps).enumerate() {
            assert_eq!(ours.is_some(), theirs.is_some(), "{number}, class {class}");
            if let (Some(ours), Some(theirs)) = (ours, theirs) {
                comparison.close(number, "overlap", *ours, *theirs);
            }
        }
        comparison.close(number, "mean overlap", confusion.mean_overlap(), case.mean_overlap);
        comparison.close(number, "majority", confusion.majority_overlap(), case.majority_overlap);
        comparison.close(number, "accuracy", confusion.pixel_accuracy(), case.pixel_accuracy);
    }
    comparison.finish(159);
}

#[test]
fn top_k_accuracies() {
    #[derive(Deserialize)]
    struct Case {
        scores: Vec<Vec<f32>>,
        labels: Vec<u32>,
        accuracies: Vec<(usize, f64)>,
    }
    let mut comparison = Comparison::new("top_k");
    for (number, case) in cases::<Case>("top_k", 18).iter().enumerate() {
        let scores = matrix(&case.scores);
        for &(k, theirs) in &case.accuracies {
            let ours = top_k_accuracy(scores.view(), &case.labels, k).unwrap();
            comparison.close(number, "accuracy", ours, theirs);
        }
    }
    comparison.finish(18 * 4);
}

#[test]
fn weighted_votes_of_neighbors() {
    #[derive(Deserialize)]
    struct Case {
        train: Vec<Vec<f32>>,
        train_labels: Vec<u32>,
        test: Vec<Vec<f32>>,
        test_labels: Vec<u32>,
        temperature: f64,
        accuracies: Vec<(usize, f64, f64)>,
    }
    let mut comparison = Comparison::new("weighted_knn");
    for (number, case) in cases::<Case>("weighted_knn", 21).iter().enumerate() {
        let (train, test) = (matrix(&case.train), matrix(&case.test));
        let num_neighbors = case.accuracies.iter().map(|&(k, ..)| k).collect();
        let config = WeightedKnnConfig { num_neighbors, temperature: case.temperature };
        let ours =
            weighted_knn(train.view(), &case.train_labels, test.view(), &case.test_labels, &config).unwrap();
        assert_eq!(ours.len(), case.accuracies.len(), "{number}");
        for (ours, &(k, top1, top5)) in ours.iter().zip(&case.accuracies) {
            assert_eq!(ours.num_neighbors, k, "{number}");
            comparison.close(number, "top 1", ours.top1, top1);
            comparison.close(number, "top 5", ours.top5, top5);
        }
    }
    comparison.finish(21 * 4 * 2);
}

#[test]
fn votes_of_neighbors() {
    #[derive(Deserialize)]
    struct Case {
        features: Vec<Vec<f32>>,
        labels: Vec<Option<u32>>,
        num_neighbors: usize,
        accuracy: f64,
    }
    let mut comparison = Comparison::new("knn");
    for (number, case) in cases::<Case>("knn", 32).iter().enumerate() {
        let features = matrix(&case.features);
        let ours = knn_accuracy(features.view(), &case.labels, case.num_neighbors).unwrap();
        comparison.close(number, "accuracy", ours, case.accuracy);
    }
    comparison.finish(32);
}

#[test]
fn agreement_of_clusters() {
    #[derive(Deserialize)]
    struct Case {
        clusters: Vec<u32>,
        labels: Vec<Option<u32>>,
        results: Option<Results>,
    }
    #[derive(Deserialize)]
    struct Results {
        nmi_arithmetic: f64,
        nmi_geometric: f64,
        adjusted_rand_index: f64,
        purity: f64,
        num_labelled: usize,
    }
    let mut comparison = Comparison::new("cluster_agreement");
    for (number, case) in cases::<Case>("cluster_agreement", 26).iter().enumerate() {
        let ours = cluster_agreement(&case.clusters, &case.labels);
        let Some(theirs) = &case.results else {
            assert!(matches!(ours, Err(EvaluationError::NoLabels { .. })), "{number}");
            continue;
        };
        let ours = ours.unwrap();
        assert_eq!(ours.num_labelled, theirs.num_labelled, "{number}");
        comparison.close(number, "arithmetic NMI", ours.nmi_arithmetic, theirs.nmi_arithmetic);
        comparison.close(number, "geometric NMI", ours.nmi_geometric, theirs.nmi_geometric);
        comparison.close(number, "ARI", ours.adjusted_rand_index, theirs.adjusted_rand_index);
        comparison.close(number, "purity", ours.purity, theirs.purity);
    }
    comparison.finish(25 * 4);
}

#[test]
fn retrieval_by_the_rules_of_oxford() {
    #[derive(Deserialize)]
    struct Case {
        ranking: String,
        num_relevant: usize,
        average_precision: Option<f64>,
        found_within: Vec<(usize, bool)>,
    }
    let mut comparison = Comparison::new("retrieval");
    for (number, case) in cases::<Case>("retrieval", 33).iter().enumerate() {
        let relevance = |mark| match mark {
            '+' => Relevance::Relevant,
            '-' => Relevance::Irrelevant,
            _ => Relevance::Ignored,
        };
        let ranking = || case.ranking.chars().map(relevance);
        let ours = unless_nothing_to_find(retrieval_average_precision(ranking(), case.num_relevant));
        assert_eq!(ours.is_some(), case.average_precision.is_some(), "{number}");
        if let (Some(ours), Some(theirs)) = (ours, case.average_precision) {
            comparison.close(number, "average precision", ours, theirs);
        }
        assert_eq!(case.found_within.len(), 4, "{number}");
        for &(k, theirs) in &case.found_within {
            assert_eq!(found_within(ranking(), k), theirs, "{number}, first {k}");
        }
    }
    comparison.finish(29);
}
