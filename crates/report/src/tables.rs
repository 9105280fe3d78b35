//! The tables beside the page, for other programs.

use crate::cluster_cards::ClusterCard;
use crate::error::ReportError;
use crate::misfits::{DuplicateGroup, Outlier};
use crate::run_contents::RunContents;

pub(crate) const CLUSTERS: &str = "clusters.csv";
pub(crate) const OUTLIERS: &str = "outliers.csv";
pub(crate) const DUPLICATES: &str = "near-duplicates.csv";

/// `cluster,size,cohesion,label,label_share`: the most frequent label of each cluster, where there are
/// labels.
pub(crate) fn clusters_table(contents: &RunContents, cards: &[ClusterCard]) -> Result<Vec<u8>, ReportError> {
    let names = contents.images.labels().map(|labels| labels.names.as_slice()).unwrap_or_default();
    let row = |card: &ClusterCard| {
        let (label, share) = card.labels.first().map_or((String::new(), String::new()), |&(label, count)| {
            (names[label as usize].clone(), (count as f64 / card.images.len() as f64).to_string())
        });
        let cohesion = card.cohesion.map_or(String::new(), |cohesion| cohesion.to_string());
        [card.cluster.to_string(), card.images.len().to_string(), cohesion, label, share]
    };
    table(["cluster", "size", "cohesion", "label", "label_share"], cards.iter().map(row))
}

/// `path,distance`: the images that are like no other, with their mean distance to their nearest neighbours.
pub(crate) fn outliers_table(contents: &RunContents, outliers: &[Outlier]) -> Result<Vec<u8>, ReportError> {
    let row = |outlier: &Outlier| [name(contents, outlier.image), outlier.distance.to_string()];
    table(["path", "distance"], outliers.iter().map(row))
}

/// `group,path,identical`: near-duplicates, and whether all files of the group have the same bytes.
pub(crate) fn duplicates_table(
    contents: &RunContents,
    groups: &[DuplicateGroup],
) -> Result<Vec<u8>, ReportError> {
    let rows = groups.iter().enumerate().flat_map(|(number, group)| {
        group
            .images
            .iter()
            .map(move |&image| [number.to_string(), name(contents, image), group.is_identical.to_string()])
    });
    table(["group", "path", "identical"], rows)
}

fn name(contents: &RunContents, image: usize) -> String {
    contents.images.name(image).to_string()
}

fn table<const N: usize>(
    header: [&str; N],
    rows: impl Iterator<Item = [String; N]>,
) -> Result<Vec<u8>, ReportError> {
    let failed = |error: &dyn std::fmt::Display| ReportError::Page { reason: format!("a table: {error}") };
    let mut csv = csv::Writer::from_writer(Vec::new());
    csv.write_record(header).map_err(|error| failed(&error))?;
    for row in rows {
        csv.write_record(row).map_err(|error| failed(&error))?;
    }
    csv.into_inner().map_err(|error| failed(&error))
}
