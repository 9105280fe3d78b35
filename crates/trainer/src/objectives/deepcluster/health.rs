//! Warnings about runs that go wrong.

use crate::metrics::EpochMetrics;
use crate::objectives::deepcluster::config::{DeepClusterConfig, Sampling};
use crate::settings::clustering::ClusteringChoice;

/// A cluster with more than this share of the images indicates collapse.
const LARGE_CLUSTER_FRACTION: f64 = 0.3;
/// NMI to the previous epoch above which clusters have stopped changing.
const FROZEN_NMI: f64 = 0.98;
/// NMI to the previous epoch below which clusters are unrelated.
const UNRELATED_NMI: f64 = 0.05;
/// A loss within this fraction of ln k is no better than chance.
const GUESSING_FRACTION: f64 = 0.02;
/// Epochs in a row at chance before a network counts as not learning; the first two are normal.
const GUESSING_EPOCHS: usize = 3;
/// A fall of the loss by this fraction of ln k within those epochs counts as learning.
const LEARNING_FRACTION: f64 = 0.005;
/// Images per cluster below which clusters are mostly chance.
const FEW_IMAGES_PER_CLUSTER: usize = 5;

/// Warnings before training with `num_clusters` clusters of `num_images` images.
pub(crate) fn warnings_before_training(
    config: &DeepClusterConfig,
    num_images: usize,
    num_clusters: usize,
) -> Vec<String> {
    let mut warnings = Vec::new();
    let is_given = config.clustering.choice() != ClusteringChoice::Pic;
    if is_given && num_images < FEW_IMAGES_PER_CLUSTER * num_clusters {
        let advice = if num_clusters > 2 {
            "Fewer clusters (about 10 times the number of kinds you expect) or more images work better"
        } else {
            "More images work better"
        };
        warnings.push(format!(
            "{num_images} images for {num_clusters} clusters are {:.1} images per cluster: many clusters will be \
             chance groups of a few images. {advice}",
            num_images as f64 / num_clusters as f64
        ));
    }
    warnings
}

/// Warnings about the last epoch of `history`, the epochs of a run so far.
pub(crate) fn warnings_of_epoch(config: &DeepClusterConfig, history: &[EpochMetrics]) -> Vec<String> {
    let Some(metrics) = history.last() else { return Vec::new() };
    let mut warnings = Vec::new();
    let largest = metrics.cluster_sizes.iter().copied().max().unwrap_or(0);
    let largest_fraction = largest as f64 / metrics.num_images.max(1) as f64;
    if metrics.num_clusters > 3 && largest_fraction > LARGE_CLUSTER_FRACTION {
        let advice = if config.sampling == Sampling::Uniform {
            "A lower learning rate"
        } else {
            "Uniform sampling (objective.sampling), a lower learning rate"
        };
        warnings.push(format!(
            "one cluster holds {:.0} % of the images: the network may be collapsing to a single answer. {advice} or \
             more varied images help",
            100.0 * largest_fraction
        ));
    }
    let can_be_lowered = metrics.num_clusters > 2 && config.clustering.choice() != ClusteringChoice::Pic;
    if metrics.num_empty * 4 > metrics.num_clusters {
        let advice =
            if can_be_lowered { "lower objective.clustering.num_clusters" } else { "add more varied images" };
        warnings.push(format!(
            "{} of {} clusters are empty: there are fewer kinds of features than clusters; {advice}",
            metrics.num_empty, metrics.num_clusters
        ));
    }
    if let Some(nmi) = metrics.nmi_to_previous {
        if nmi > FROZEN_NMI {
            warnings.push(format!(
                "the clusters are almost those of the previous epoch (NMI {nmi:.3}): further epochs change little; \
                 the run may be finished or stuck"
            ));
        } else if nmi < UNRELATED_NMI {
            warnings.push(format!(
                "the clusters have nothing in common with those of the previous epoch (NMI {nmi:.3}): the network \
                 changes too fast to learn them; lower objective.learning_rate"
            ));
        }
    }
    if let Some(loss) = metrics.loss.filter(|_| keeps_guessing(history)) {
        let advice = if can_be_lowered {
            "Raise objective.learning_rate, use more images, or fewer clusters"
        } else {
            "Raise objective.learning_rate, or use more images"
        };
        warnings.push(format!(
            "the loss {loss:.2} has been at chance (ln {} = {:.2}) for {GUESSING_EPOCHS} epochs: the network does \
             not learn its clusters. {advice}",
            metrics.num_clusters,
            (metrics.num_clusters as f64).ln()
        ));
    }
    warnings
}

/// Whether the loss of the last epochs, except the first of the run, is at chance and does not fall.
fn keeps_guessing(history: &[EpochMetrics]) -> bool {
    let trained: Vec<(f64, f64)> = history
        .iter()
        .filter(|metrics| metrics.epoch > 0)
        .filter_map(|metrics| Some((metrics.loss?, (metrics.num_clusters as f64).ln())))
        .collect();
    let Some(last) = trained.last_chunk::<GUESSING_EPOCHS>() else { return false };
    let guess = |&(loss, guessing): &(f64, f64)| loss > guessing * (1.0 - GUESSING_FRACTION);
    // PIC finds another number of clusters in every epoch, so losses are compared relative to ln k.
    let share = |&(loss, guessing): &(f64, f64)| loss / guessing;
    last.iter().all(guess) && share(&last[0]) - share(&last[GUESSING_EPOCHS - 1]) < LEARNING_FRACTION
}

#[cfg(test)]
mod tests {
    use super::*;

    fn healthy() -> EpochMetrics {
        EpochMetrics {
            epoch: 3,
            loss: Some(1.0),
            nmi_to_previous: Some(0.6),
            labels: None,
            knn_accuracy: None,
            inertia: Some(1.0),
            num_clusters: 10,
            num_empty: 0,
            cluster_sizes: vec![10; 10],
            num_images: 100,
            num_samples: 100,
            num_components: 8,
            measures: Default::default(),
        }
    }

    /// A run of epochs with these losses in ln 10.
    fn run_of(losses: &[f64]) -> Vec<EpochMetrics> {
        let epoch = |(epoch, &loss): (usize, &f64)| EpochMetrics {
            epoch,
            loss: Some(loss * 10_f64.ln()),
            nmi_to_previous: (epoch > 0).then_some(0.6),
            ..healthy()
        };
        losses.iter().enumerate().map(epoch).collect()
    }

    fn is_called_guessing(losses: &[f64]) -> bool {
        let warnings = warnings_of_epoch(&DeepClusterConfig::default(), &run_of(losses));
        warnings.iter().any(|warning| warning.contains("at chance"))
    }

    #[test]
    fn a_healthy_epoch_gives_no_warning() {
        let config = DeepClusterConfig::default();
        assert!(warnings_of_epoch(&config, &[healthy()]).is_empty());
        assert!(warnings_of_epoch(&config, &[]).is_empty());
        assert!(warnings_before_training(&config, 1000, 10).is_empty());
    }

    #[test]
    fn every_sign_of_collapse_is_named() {
        type Change = fn(&mut EpochMetrics);
        let cases: [(&str, Change); 4] = [
            ("one cluster holds 91 %", |m| m.cluster_sizes = vec![91, 1, 1, 1, 1, 1, 1, 1, 1, 1]),
            ("3 of 10 clusters are empty", |m| m.num_empty = 3),
            ("almost those of the previous epoch", |m| m.nmi_to_previous = Some(0.995)),
            ("nothing in common", |m| m.nmi_to_previous = Some(0.01)),
        ];
        for (words, change) in cases {
            let mut metrics = healthy();
            change(&mut metrics);
            let warnings = warnings_of_epoch(&DeepClusterConfig::default(), &[metrics]);
            assert_eq!(warnings.len(), 1, "{warnings:?}");
            assert!(warnings[0].contains(words), "{warnings:?}");
        }
        let warnings = warnings_before_training(&DeepClusterConfig::default(), 30, 10);
        assert!(warnings[0].contains("3.0 images per cluster"));
    }

    #[test]
    fn a_network_that_begins_to_learn_is_not_said_to_guess() {
        // The losses of the demonstration, in ln 120.
        let demo = [0.9988, 0.9850, 0.9455, 0.9172];
        for length in 1..=demo.len() {
            assert!(!is_called_guessing(&demo[..length]));
        }
        // Slow, but it learns.
        assert!(!is_called_guessing(&[1.0, 0.999, 0.996, 0.992, 0.987]));
    }

    #[test]
    fn a_network_that_guesses_for_epochs_is_told_so() {
        assert!(!is_called_guessing(&[1.0, 1.0, 1.0]), "too early to tell");
        assert!(is_called_guessing(&[1.0, 1.0, 1.0, 1.0]));
        assert!(is_called_guessing(&[1.0, 0.999, 0.998, 0.997]));
        // It has learned and forgets: the loss rises to chance and stays there.
        assert!(is_called_guessing(&[0.9, 0.7, 0.99, 1.0, 1.01]));
    }

    #[test]
    fn advice_can_be_followed() {
        let mut config = DeepClusterConfig::default();
        // Two clusters are the least, sampling is uniform already, and PIC has no number of clusters to
        // lower.
        let mut metrics = EpochMetrics { num_clusters: 2, num_empty: 1, ..healthy() };
        assert!(!warnings_of_epoch(&config, &[metrics.clone()])[0].contains("num_clusters"));
        assert!(!warnings_before_training(&config, 3, 2)[0].contains("Fewer clusters"));
        metrics = EpochMetrics { cluster_sizes: vec![91, 1, 8, 0], num_clusters: 4, ..healthy() };
        assert!(!warnings_of_epoch(&config, &[metrics.clone()])[0].contains("objective.sampling"));
        config.sampling = Sampling::Shuffle;
        assert!(warnings_of_epoch(&config, &[metrics])[0].contains("objective.sampling"));
        config.clustering.algorithm = ClusteringChoice::Pic.config();
        assert!(warnings_before_training(&config, 3, 2).is_empty());
    }
}
