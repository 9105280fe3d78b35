//! Warnings in plain words when a run goes wrong.

use crate::config::MIN_CLUSTERS;
use crate::metrics::EpochMetrics;

/// A cluster with more than this share of the images is a sign of collapse.
const LARGE_CLUSTER_FRACTION: f64 = 0.3;
/// NMI to the previous epoch above this: the clusters hardly change any more.
const FROZEN_NMI: f64 = 0.98;
/// NMI to the previous epoch below this: the clusters have nothing to do with each other.
const UNRELATED_NMI: f64 = 0.05;
/// A loss within this fraction of ln k is no better than guessing.
const GUESSING_FRACTION: f64 = 0.02;
/// Fewer images per cluster than this make clusters of chance.
const FEW_IMAGES_PER_CLUSTER: usize = 5;

/// What should be said before training with `num_clusters` clusters of `num_images` images.
pub(crate) fn warnings_before_training(num_images: usize, num_clusters: usize) -> Vec<String> {
    let mut warnings = Vec::new();
    if num_images < FEW_IMAGES_PER_CLUSTER * num_clusters {
        let fewer =
            "Fewer clusters (about 10 times the number of kinds you expect) or more images work better";
        let advice = if num_clusters > MIN_CLUSTERS { fewer } else { "More images work better" };
        warnings.push(format!(
            "{num_images} images for {num_clusters} clusters are {:.1} images per cluster: many clusters will be \
             chance groups of a few images. {advice}",
            num_images as f64 / num_clusters as f64
        ));
    }
    warnings
}

/// What should be said of an epoch.
pub(crate) fn warnings_of_epoch(metrics: &EpochMetrics) -> Vec<String> {
    let mut warnings = Vec::new();
    let largest = metrics.cluster_sizes.iter().copied().max().unwrap_or(0);
    let largest_fraction = largest as f64 / metrics.num_images.max(1) as f64;
    if metrics.num_clusters > 3 && largest_fraction > LARGE_CLUSTER_FRACTION {
        warnings.push(format!(
            "one cluster holds {:.0} % of the images: the network may be collapsing to a single answer. Uniform \
             sampling (training.sampling), a lower learning rate or more varied images help",
            100.0 * largest_fraction
        ));
    }
    if metrics.num_empty * 4 > metrics.num_clusters {
        warnings.push(format!(
            "{} of {} clusters are empty: there are fewer kinds of features than clusters; lower \
             clustering.num_clusters",
            metrics.num_empty, metrics.num_clusters
        ));
    }
    if let Some(nmi) = metrics.nmi_to_previous {
        if nmi > FROZEN_NMI {
            warnings.push(format!(
                "the clusters are almost those of the epoch before (NMI {nmi:.3}): further epochs change little; \
                 the run may be finished or stuck"
            ));
        } else if nmi < UNRELATED_NMI {
            warnings.push(format!(
                "the clusters have nothing in common with those of the epoch before (NMI {nmi:.3}): the network \
                 changes too fast to learn them; lower training.learning_rate"
            ));
        }
    }
    if let Some(loss) = metrics.loss {
        let guessing = (metrics.num_clusters as f64).ln();
        if metrics.epoch > 0 && loss > guessing * (1.0 - GUESSING_FRACTION) {
            warnings.push(format!(
                "the loss {loss:.2} is that of guessing (ln {} = {guessing:.2}): the network does not learn its \
                 clusters. Raise training.learning_rate, use more images, or fewer clusters",
                metrics.num_clusters
            ));
        }
    }
    warnings
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
            inertia: 1.0,
            num_clusters: 10,
            num_empty: 0,
            cluster_sizes: vec![10; 10],
            num_images: 100,
            num_samples: 100,
            num_components: 8,
        }
    }

    #[test]
    fn a_healthy_epoch_gives_no_warning() {
        assert!(warnings_of_epoch(&healthy()).is_empty());
        assert!(warnings_before_training(1000, 10).is_empty());
    }

    #[test]
    fn every_sign_of_collapse_is_named() {
        type Change = fn(&mut EpochMetrics);
        let cases: [(&str, Change); 5] = [
            ("one cluster holds 91 %", |m| m.cluster_sizes = vec![91, 1, 1, 1, 1, 1, 1, 1, 1, 1]),
            ("3 of 10 clusters are empty", |m| m.num_empty = 3),
            ("almost those of the epoch before", |m| m.nmi_to_previous = Some(0.995)),
            ("nothing in common", |m| m.nmi_to_previous = Some(0.01)),
            ("that of guessing", |m| m.loss = Some(2.30)),
        ];
        for (words, change) in cases {
            let mut metrics = healthy();
            change(&mut metrics);
            let warnings = warnings_of_epoch(&metrics);
            assert_eq!(warnings.len(), 1, "{warnings:?}");
            assert!(warnings[0].contains(words), "{warnings:?}");
        }
        let said = &warnings_before_training(30, 10)[0];
        assert!(said.contains("3.0 images per cluster") && said.contains("Fewer clusters"), "{said}");
        // Two clusters are the fewest.
        assert!(!warnings_before_training(2, 2)[0].contains("Fewer"));
    }
}
