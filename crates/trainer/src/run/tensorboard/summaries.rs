//! The logged summaries.

use super::messages::{Content, Histogram, Metadata, Plugin, Shape, StringTensor, Summary, Value};
use crate::metrics::{EpochMetrics, EpochTimings};
use crate::settings::config::TrainConfig;

/// `DT_STRING`.
const STRING: i32 = 7;

/// Bars of a histogram.
const NUM_BUCKETS: usize = 30;

/// The numbers of an epoch and the histogram of its cluster sizes.
pub(super) fn epoch_summary(
    metrics: &EpochMetrics,
    timings: Option<&EpochTimings>,
    learning_rate: f64,
) -> Summary {
    let labels = metrics.labels.as_ref();
    let was_trained = metrics.loss.is_some();
    let training_timings = timings.filter(|_| was_trained);
    let scalars = [
        ("train/loss", metrics.loss),
        ("train/learning_rate", was_trained.then_some(learning_rate)),
        ("clusters/nmi_to_previous", metrics.nmi_to_previous),
        ("clusters/inertia", metrics.inertia),
        ("clusters/num_empty", metrics.inertia.map(|_| metrics.num_empty as f64)),
        ("labels/nmi", labels.map(|labels| labels.nmi_arithmetic)),
        ("labels/adjusted_rand_index", labels.map(|labels| labels.adjusted_rand_index)),
        ("labels/purity", labels.map(|labels| labels.purity)),
        ("labels/knn_accuracy", metrics.knn_accuracy),
        ("speed/features_images_per_second", timings.map(|timings| timings.features_images_per_second)),
        (
            "speed/training_images_per_second",
            training_timings.map(|timings| timings.training_images_per_second),
        ),
        ("seconds/features", timings.map(|timings| timings.features_seconds)),
        ("seconds/whitening", timings.map(|timings| timings.whitening_seconds)),
        ("seconds/clustering", timings.map(|timings| timings.clustering_seconds)),
        ("seconds/training", training_timings.map(|timings| timings.training_seconds)),
    ];
    let value = |tag: &str, content| Value { tag: tag.to_string(), content: Some(content), metadata: None };
    let scalars = scalars.into_iter().filter_map(|(tag, number)| Some((tag, number?)));
    let mut values: Vec<Value> =
        scalars.map(|(tag, number)| value(tag, Content::Scalar(number as f32))).collect();
    let measures = metrics.measures.iter();
    values.extend(
        measures.map(|(name, number)| value(&format!("objective/{name}"), Content::Scalar(*number as f32))),
    );
    if !metrics.cluster_sizes.is_empty() {
        values.push(value("clusters/sizes", Content::Histogram(histogram(&metrics.cluster_sizes))));
    }
    Summary { values }
}

/// The settings of the run as text.
pub(super) fn config_summary(config: &TrainConfig) -> Summary {
    let text = format!("```toml\n{}\n```", config.to_toml());
    let tensor = StringTensor { dtype: STRING, shape: Some(Shape {}), values: vec![text.into_bytes()] };
    let value = Value {
        tag: "config/text_summary".to_string(),
        content: Some(Content::Text(tensor)),
        metadata: Some(Metadata { plugin: Some(Plugin { name: "text".to_string() }) }),
    };
    Summary { values: vec![value] }
}

/// Equally wide bars from the smallest to the largest number.
fn histogram(numbers: &[usize]) -> Histogram {
    let numbers: Vec<f64> = numbers.iter().map(|&number| number as f64).collect();
    let min = numbers.iter().copied().fold(f64::INFINITY, f64::min);
    let max = numbers.iter().copied().fold(f64::NEG_INFINITY, f64::max);
    if numbers.is_empty() {
        return Histogram::default();
    }
    let width = ((max - min) / NUM_BUCKETS as f64).max(f64::MIN_POSITIVE);
    let num_buckets = if max > min { NUM_BUCKETS } else { 1 };
    let mut buckets = vec![0.0; num_buckets];
    for number in &numbers {
        buckets[(((number - min) / width) as usize).min(num_buckets - 1)] += 1.0;
    }
    let limit = |index: usize| if index + 1 == num_buckets { max } else { min + width * (index + 1) as f64 };
    Histogram {
        min,
        max,
        num: numbers.len() as f64,
        sum: numbers.iter().sum(),
        sum_squares: numbers.iter().map(|number| number * number).sum(),
        bucket_limits: (0..num_buckets).map(limit).collect(),
        buckets,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_number_is_in_one_bar() {
        let histogram = histogram(&[3, 10, 3, 63, 62, 33]);
        assert_eq!((histogram.min, histogram.max, histogram.num), (3.0, 63.0, 6.0));
        assert_eq!(histogram.buckets.iter().sum::<f64>(), 6.0);
        // Bars two wide: 3 and 3 in the first, 62 and 63 in the last.
        assert_eq!((histogram.buckets[0], histogram.buckets[29]), (2.0, 2.0));
        assert_eq!(histogram.bucket_limits[29], 63.0);
        assert!(histogram.bucket_limits.is_sorted());
    }

    #[test]
    fn equal_numbers_make_one_bar() {
        let histogram = histogram(&[5, 5]);
        assert_eq!((histogram.bucket_limits, histogram.buckets), (vec![5.0], vec![2.0]));
        assert_eq!(super::histogram(&[]).num, 0.0);
    }
}
