//! Retrieval: how early the images that belong to a query come in a ranking.

use crate::error::EvaluationError;

/// Relevance of a ranked image for a query.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Relevance {
    /// Belongs to the query.
    Relevant,
    /// Does not.
    Irrelevant,
    /// Is left out of the ranking, such as the query itself or what Oxford5k and Paris6k call junk.
    Ignored,
}

/// Average precision of one query by the rule of the Oxford5k and Paris6k benchmarks: the area under the
/// precision-recall curve by trapezoids, over `ranking`, best first, of which `num_relevant` are to be found.
///
/// # Errors
/// [`EvaluationError::NoPositives`] where `num_relevant` is 0.
pub fn retrieval_average_precision(
    ranking: impl IntoIterator<Item = Relevance>,
    num_relevant: usize,
) -> Result<f64, EvaluationError> {
    if num_relevant == 0 {
        return Err(EvaluationError::NoPositives);
    }
    let (mut area, mut old_recall, mut old_precision) = (0.0, 0.0, 1.0);
    let (mut num_right, mut num_seen) = (0.0, 0.0);
    for relevance in ranking.into_iter().filter(|&relevance| relevance != Relevance::Ignored) {
        num_seen += 1.0;
        if relevance == Relevance::Relevant {
            num_right += 1.0;
        }
        let (recall, precision) = (num_right / num_relevant as f64, num_right / num_seen);
        area += (recall - old_recall) * (old_precision + precision) / 2.0;
        (old_recall, old_precision) = (recall, precision);
    }
    Ok(area)
}

/// Whether one of the first `k` images of `ranking` that are not ignored is relevant; its mean over queries
/// is recall@k.
pub fn found_within(ranking: impl IntoIterator<Item = Relevance>, k: usize) -> bool {
    let counted = ranking.into_iter().filter(|&relevance| relevance != Relevance::Ignored);
    counted.take(k).any(|relevance| relevance == Relevance::Relevant)
}

#[cfg(test)]
mod tests {
    use super::Relevance::{Ignored, Irrelevant, Relevant};
    use super::*;

    #[test]
    fn trapezoids_by_hand() {
        // Precisions 1, 1/2, 2/3 at recalls 1/2, 1/2, 1.
        let area = retrieval_average_precision([Relevant, Irrelevant, Relevant], 2).unwrap();
        assert!((area - (0.5 * (1.0 + 1.0) / 2.0 + 0.5 * (0.5 + 2.0 / 3.0) / 2.0)).abs() < 1e-12);
        assert_eq!(retrieval_average_precision([Relevant, Relevant], 2).unwrap(), 1.0);
        // Half of what there is, first: the rest is never found.
        assert_eq!(retrieval_average_precision([Relevant], 2).unwrap(), 0.5);
    }

    #[test]
    fn ignored_images_leave_the_ranking() {
        let with = [Ignored, Relevant, Ignored, Irrelevant, Relevant, Ignored];
        let without = [Relevant, Irrelevant, Relevant];
        assert_eq!(
            retrieval_average_precision(with, 2).unwrap(),
            retrieval_average_precision(without, 2).unwrap()
        );
        assert!(found_within(with, 1) && !found_within([Irrelevant, Ignored, Relevant], 1));
        assert!(found_within([Irrelevant, Ignored, Relevant], 2));
    }

    #[test]
    fn a_query_needs_something_to_find() {
        assert!(matches!(retrieval_average_precision([], 0), Err(EvaluationError::NoPositives)));
    }
}
