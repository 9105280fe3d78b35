//! The findings of a run, in plain words.

use deepcluster_trainer::EpochMetrics;

use crate::cluster_cards::ClusterCard;
use crate::run_contents::RunContents;

/// Agreement of two clusterings from which on clusters count as settled, and the change per epoch below which
/// they do.
const SETTLED: (f64, f64) = (0.7, 0.03);
/// Agreement that is shown as 100 %.
const UNCHANGED: f64 = 0.995;
/// A share of all images in one cluster that is too much where there are many clusters.
const TOO_LARGE: f64 = 0.2;
/// Clusters that are named to look at first.
const NUM_NAMED: usize = 3;
/// Clusters of fewer images are not named: few images are easily alike.
const LEAST_NAMED: usize = 5;

/// A sentence, and the clusters that it names.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Finding {
    pub(crate) text: String,
    /// Numbers of clusters that are shown as links after it.
    pub(crate) clusters: Vec<u32>,
    /// Whether something may be wrong.
    pub(crate) is_warning: bool,
}

/// Counts of near-duplicates and other findings.
pub(crate) struct Counts {
    pub(crate) num_duplicate_groups: usize,
    pub(crate) num_duplicates: usize,
    pub(crate) has_neighbors: bool,
    pub(crate) num_lost: usize,
}

/// The findings a reader of the report should know first.
pub(crate) fn summary(contents: &RunContents, cards: &[ClusterCard], counts: &Counts) -> Vec<Finding> {
    let mut findings = Vec::new();
    let mut say = |text: String| findings.push(Finding { text, clusters: Vec::new(), is_warning: false });
    say(sizes(contents, cards));
    if let Some(text) = convergence(contents) {
        say(text);
    }
    if let Some(text) = labels(contents) {
        say(text);
    }
    if counts.num_duplicate_groups > 0 {
        let Counts { num_duplicate_groups, num_duplicates, .. } = counts;
        say(format!(
            "{} show the same as another, or nearly: {}, listed under near-duplicates.",
            plural(*num_duplicates, "image"),
            plural(*num_duplicate_groups, "group"),
        ));
    } else if counts.has_neighbors {
        say("No two images are the same or nearly so.".to_string());
    }
    if !contents.skipped.is_empty() {
        let (files, were) = counted(contents.skipped.len(), "file", ["was", "were"]);
        say(format!("{files} could not be read and {were} passed over."));
    }
    findings.extend(where_to_look(cards));
    findings.extend(warnings(contents, cards, counts));
    findings
}

fn sizes(contents: &RunContents, cards: &[ClusterCard]) -> String {
    let mut sizes: Vec<usize> = cards.iter().map(|card| card.images.len()).collect();
    sizes.sort_unstable();
    let at = |share: f64| sizes[((sizes.len() - 1) as f64 * share).round() as usize];
    let (images, clusters) = (plural(contents.images.len(), "image"), plural(sizes.len(), "cluster"));
    if sizes.len() < 4 {
        return format!("{images} in {clusters}.");
    }
    format!(
        "{images} in {clusters}. The smallest has {}, the largest {}, and half of them between {} and {} images.",
        grouped(at(0.0)),
        grouped(at(1.0)),
        grouped(at(0.25)),
        grouped(at(0.75))
    )
}

/// Whether the clusters still change; `None` where there is one cluster, which agrees with itself.
fn convergence(contents: &RunContents) -> Option<String> {
    if contents
        .metrics
        .last()
        .is_some_and(|last| last.num_clusters - last.num_empty.min(last.num_clusters) < 2)
    {
        return None;
    }
    let num_epochs = contents.metrics.iter().filter(|epoch| epoch.loss.is_some()).count();
    let agreements: Vec<f64> = contents.metrics.iter().filter_map(|epoch| epoch.nmi_to_previous).collect();
    let epochs = plural(num_epochs, "epoch");
    let [.., last] = agreements[..] else {
        return Some(format!("After {epochs} it is too early to say whether the clusters have settled."));
    };
    let before = agreements.len().checked_sub(2).map(|index| agreements[index]);
    let agreement = format!("the last two clusterings agree by {:.0} % (NMI)", 100.0 * last);
    Some(match before.map(|before| last - before) {
        _ if last >= UNCHANGED => format!("The clusters no longer change: {agreement}."),
        Some(change) if last >= SETTLED.0 && change.abs() < SETTLED.1 => {
            format!("The clusters have settled: {agreement}, as those before them did.")
        }
        Some(change) if change > SETTLED.1 => format!(
            "After {epochs} the clusters still change: {agreement}, and that is rising. More epochs would help."
        ),
        Some(_) => format!("After {epochs} the clusters still change: {agreement}."),
        None => format!("After {epochs} the clusters still change: {agreement}. More epochs would help."),
    })
}

fn labels(contents: &RunContents) -> Option<String> {
    let agreement = contents.metrics.last()?.labels.as_ref()?;
    let num_labels = contents.images.labels()?.names.len();
    // With one label everything agrees.
    if num_labels < 2 {
        return None;
    }
    Some(format!(
        "Of the images with one of the {num_labels} labels, which the training did not see, {:.0} % have the most \
         frequent label of their cluster (purity); clusters and labels agree by {:.0} % (NMI).",
        100.0 * agreement.purity,
        100.0 * agreement.nmi_arithmetic
    ))
}

/// The clusters that are most and least of a piece.
fn where_to_look(cards: &[ClusterCard]) -> Vec<Finding> {
    let mut ranked: Vec<(&ClusterCard, f64)> = cards
        .iter()
        .filter(|card| card.images.len() >= LEAST_NAMED)
        .filter_map(|card| Some((card, card.cohesion?)))
        .collect();
    if ranked.len() < 2 * NUM_NAMED {
        return Vec::new();
    }
    ranked.sort_by(|a, b| b.1.total_cmp(&a.1));
    let numbers = |cards: &mut dyn Iterator<Item = &(&ClusterCard, f64)>| {
        cards.take(NUM_NAMED).map(|(card, _)| card.cluster).collect::<Vec<u32>>()
    };
    let find = |text: &str, clusters| Finding { text: text.to_string(), clusters, is_warning: false };
    vec![
        find("Look first at the clusters whose images are most alike:", numbers(&mut ranked.iter())),
        find(
            "The most mixed clusters, where images ended up for want of a better place:",
            numbers(&mut ranked.iter().rev()),
        ),
    ]
}

fn warnings(contents: &RunContents, cards: &[ClusterCard], counts: &Counts) -> Vec<Finding> {
    let mut findings = Vec::new();
    let mut warn = |text: String, clusters| findings.push(Finding { text, clusters, is_warning: true });
    let total = contents.images.len();
    if let Some(largest) = cards.iter().max_by_key(|card| card.images.len()) {
        let share = largest.images.len() as f64 / total as f64;
        if cards.len() >= 10 && share > TOO_LARGE {
            let text = format!("One cluster holds {:.0} % of all images:", 100.0 * share);
            warn(text, vec![largest.cluster]);
        }
    }
    let num_empty = contents.metrics.last().map_or(0, |epoch: &EpochMetrics| epoch.num_empty);
    if num_empty * 10 > cards.len() {
        let (clusters, have) = counted(num_empty, "cluster", ["has", "have"]);
        // Two are the fewest that there can be.
        let advice = if cards.len() + num_empty > 2 { ": fewer clusters would do" } else { "" };
        warn(format!("{clusters} {have} no image{advice}."), Vec::new());
    }
    if cards.len() > 1 && are_equally_far_apart(contents) {
        let text = "There are no more images than numbers that describe one, and whitening has put all of them \
                    equally far apart: clusters and likeness are chance. More images, or a smaller \
                    objective.whitening.num_components, would help.";
        warn(text.to_string(), Vec::new());
    } else if cards.len() > 1 && total < 5 * cards.len() {
        warn(
            "There are fewer than 5 images to a cluster: many are groups of chance.".to_string(),
            Vec::new(),
        );
    }
    if !contents.is_finished() {
        let text = "The run is not finished, so similarity, near-duplicates and the map are missing.";
        warn(text.to_string(), Vec::new());
    }
    if counts.num_lost > 0 {
        let (images, are) = counted(counts.num_lost, "image", ["is", "are"]);
        let text = format!("{images} can no longer be read and {are} shown grey.");
        warn(text, Vec::new());
    }
    findings
}

/// Whether whitening had so many components that nothing of the distances is left.
fn are_equally_far_apart(contents: &RunContents) -> bool {
    let features = contents.features.as_ref().filter(|_| contents.config.objective.whitening().whiten);
    features.is_some_and(|features| features.nrows() <= features.ncols() + 1)
}

/// A number with what it counts, and the verb for so many.
fn counted(count: usize, noun: &str, [one, many]: [&'static str; 2]) -> (String, &'static str) {
    (plural(count, noun), if count == 1 { one } else { many })
}

/// A number and what it counts.
pub(crate) fn plural(count: usize, noun: &str) -> String {
    let ending = if count == 1 { "" } else { "s" };
    format!("{} {noun}{ending}", grouped(count))
}

/// A number with a comma between thousands.
pub(crate) fn grouped(number: usize) -> String {
    let digits = number.to_string();
    let mut text = String::new();
    for (index, digit) in digits.chars().enumerate() {
        if index > 0 && (digits.len() - index).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cluster_cards::tests::contents;

    fn epoch(epoch: usize, nmi_to_previous: Option<f64>) -> EpochMetrics {
        EpochMetrics {
            epoch,
            loss: Some(1.0),
            nmi_to_previous,
            labels: None,
            knn_accuracy: None,
            inertia: Some(1.0),
            num_clusters: 2,
            num_empty: 0,
            cluster_sizes: vec![3, 4],
            num_images: 7,
            num_samples: 7,
            num_components: 2,
            measures: Default::default(),
        }
    }

    fn card(cluster: u32, size: usize, cohesion: f64) -> ClusterCard {
        let cohesion = Some(cohesion);
        ClusterCard { cluster, images: vec![0; size], cohesion, doubtful: Vec::new(), labels: Vec::new() }
    }

    const COUNTS: Counts =
        Counts { num_duplicate_groups: 0, num_duplicates: 0, has_neighbors: true, num_lost: 0 };

    #[test]
    fn convergence_is_told_from_the_last_clusterings() {
        let said = |agreements: &[f64]| {
            let mut contents = contents();
            contents.metrics = std::iter::once(epoch(0, None))
                .chain(agreements.iter().enumerate().map(|(index, &value)| epoch(index + 1, Some(value))))
                .collect();
            convergence(&contents).unwrap_or_default()
        };
        assert!(said(&[]).contains("too early"));
        // One agreement does not rise.
        assert!(said(&[0.3]).contains("still change") && said(&[0.3]).contains("More epochs"));
        assert!(!said(&[0.3]).contains("rising"));
        assert!(
            said(&[0.3, 0.5]).contains("more epochs would help") || said(&[0.3, 0.5]).contains("More epochs")
        );
        assert!(said(&[0.5, 0.5]).contains("still change") && !said(&[0.5, 0.5]).contains("rising"));
        assert!(said(&[0.78, 0.8]).contains("have settled") && said(&[0.78, 0.8]).contains("80 %"));
    }

    #[test]
    fn clusters_that_agree_wholly_do_not_change() {
        for agreements in [&[1.0][..], &[0.3, 1.0], &[1.0, 1.0], &[0.2, 0.5, 0.996]] {
            let mut contents = contents();
            let epochs = agreements.iter().enumerate();
            contents.metrics = epochs.map(|(index, &value)| epoch(index + 1, Some(value))).collect();
            let said = convergence(&contents).unwrap_or_default();
            assert!(said.contains("100 %") && said.contains("no longer change"), "{said}");
            assert!(!said.contains("still") && !said.contains("would help"), "{said}");
        }
        // 99 % are shown as such.
        let contents = RunContents { metrics: vec![epoch(1, Some(0.99))], ..contents() };
        assert!(convergence(&contents).unwrap_or_default().contains("99 %"));
    }

    #[test]
    fn nothing_is_advised_that_cannot_be_done() {
        // One image in one cluster: neither fewer clusters nor agreement.
        let one = EpochMetrics { num_clusters: 2, num_empty: 1, ..epoch(1, Some(0.0)) };
        let contents = RunContents { metrics: vec![one], ..contents() };
        let said: Vec<String> =
            summary(&contents, &[card(0, 1, 1.0)], &COUNTS).into_iter().map(|finding| finding.text).collect();
        assert!(said.iter().any(|text| text == "1 cluster has no image."), "{said:?}");
        let wrong = ["fewer", "agree by", "still change"];
        assert!(!said.iter().any(|text| wrong.iter().any(|words| text.contains(words))), "{said:?}");
    }

    #[test]
    fn images_that_whitening_has_set_equally_far_apart_are_told() {
        let cards = [card(0, 2, 0.5), card(1, 2, 0.5)];
        let told = |num_components: usize| {
            let features =
                ndarray::Array2::from_shape_fn((4, num_components), |(row, column)| (row + column) as f32);
            let contents = RunContents { features: Some(features), ..contents() };
            let found = warnings(&contents, &cards, &COUNTS);
            found.iter().any(|finding| finding.text.contains("whitening.num_components"))
        };
        assert!(told(3) && !told(2));
    }

    #[test]
    fn the_most_and_least_cohesive_clusters_are_named() {
        let cards: Vec<ClusterCard> = (0..8).map(|index| card(index, 9, f64::from(index) / 10.0)).collect();
        let found = where_to_look(&cards);
        assert_eq!((found[0].clusters.clone(), found[1].clusters.clone()), (vec![7, 6, 5], vec![0, 1, 2]));
        assert!(where_to_look(&cards[..5]).is_empty());
    }

    #[test]
    fn what_may_be_wrong_is_said() {
        let mut cards: Vec<ClusterCard> = (0..10).map(|index| card(index, 1, 0.5)).collect();
        cards[4] = card(4, 6, 0.5);
        let contents = RunContents { features: None, ..contents() };
        let counts = Counts { num_lost: 1, has_neighbors: false, ..COUNTS };
        let said: Vec<String> =
            warnings(&contents, &cards, &counts).into_iter().map(|finding| finding.text).collect();
        assert_eq!(said.len(), 4, "{said:?}");
        assert!(said[0].contains("holds 86 %") && said[3].starts_with("1 image can no longer"));
    }

    #[test]
    fn sizes_and_duplicates_are_told() {
        let cards: Vec<ClusterCard> = (0..5).map(|index| card(index, 1 + index as usize, 0.5)).collect();
        let counts = Counts { num_duplicate_groups: 1, num_duplicates: 1200, ..COUNTS };
        let said = summary(&contents(), &cards, &counts);
        assert_eq!(
            said[0].text,
            "7 images in 5 clusters. The smallest has 1, the largest 5, and half of them between 2 and 4 images."
        );
        assert!(said.iter().any(|finding| finding.text.starts_with("1,200 images show the same")
            && finding.text.contains("1 group,")));
        assert_eq!(
            (grouped(0), grouped(999), grouped(1_281_167)),
            ("0".into(), "999".into(), "1,281,167".into())
        );
    }
}
