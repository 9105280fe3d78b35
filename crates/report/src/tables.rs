//! The tables beside the page, for other programs.

use std::io::Write;
use std::path::Path;

use deepcluster_files::write_whole;

use crate::cluster_cards::ClusterCard;
use crate::error::ReportError;
use crate::misfits::{DuplicateGroup, Outlier};
use crate::run_contents::RunContents;

/// `cluster,size,cohesion,label,label_share`: the most frequent label of each cluster, where there are labels.
pub(crate) fn write_clusters(
    path: &Path,
    contents: &RunContents,
    cards: &[ClusterCard],
) -> Result<(), ReportError> {
    let names = contents.images.labels().map(|labels| labels.names.as_slice()).unwrap_or_default();
    let row = |card: &ClusterCard| {
        let (label, share) = card.labels.first().map_or((String::new(), String::new()), |&(label, count)| {
            (names[label as usize].clone(), (count as f64 / card.images.len() as f64).to_string())
        });
        let cohesion = card.cohesion.map_or(String::new(), |cohesion| cohesion.to_string());
        [card.cluster.to_string(), card.images.len().to_string(), cohesion, label, share]
    };
    write_table(path, ["cluster", "size", "cohesion", "label", "label_share"], cards.iter().map(row))
}

/// `path,distance`: the images that are like no other, with their mean distance to their nearest neighbours.
pub(crate) fn write_outliers(
    path: &Path,
    contents: &RunContents,
    outliers: &[Outlier],
) -> Result<(), ReportError> {
    let row = |outlier: &Outlier| [name(contents, outlier.image), outlier.distance.to_string()];
    write_table(path, ["path", "distance"], outliers.iter().map(row))
}

/// `group,path,identical`: near-duplicates, and whether all files of the group have the same bytes.
pub(crate) fn write_duplicates(
    path: &Path,
    contents: &RunContents,
    groups: &[DuplicateGroup],
) -> Result<(), ReportError> {
    let rows = groups.iter().enumerate().flat_map(|(number, group)| {
        group
            .images
            .iter()
            .map(move |&image| [number.to_string(), name(contents, image), group.is_identical.to_string()])
    });
    write_table(path, ["group", "path", "identical"], rows)
}

fn name(contents: &RunContents, image: usize) -> String {
    contents.images.relative_path(image).to_string_lossy().into_owned()
}

fn write_table<const N: usize>(
    path: &Path,
    header: [&str; N],
    rows: impl Iterator<Item = [String; N]>,
) -> Result<(), ReportError> {
    let write = |writer: &mut dyn Write| {
        let mut csv = csv::Writer::from_writer(writer);
        csv.write_record(header)?;
        for row in rows {
            csv.write_record(row)?;
        }
        csv.flush()
    };
    write_whole(path, |writer| write(writer)).map_err(ReportError::io("write", path))
}
