//! The page of a run, and the files beside it.

mod config;
mod data;
mod html;
mod sheet_list;

use std::path::{Path, PathBuf};

use deepcluster_engine::Observer;
use deepcluster_files::ResultFolder;
use ndarray::Array2;

use crate::cluster_cards::{ClusterCard, cluster_cards};
use crate::error::ReportError;
use crate::map;
use crate::misfits::{self, DuplicateGroup, near_duplicates, outliers};
use crate::run_contents::{NeighborTable, RunContents};
use crate::summary::{Counts, Finding, summary};
use crate::tables::{CLUSTERS, DUPLICATES, OUTLIERS, clusters_table, duplicates_table, outliers_table};
use crate::thumbnails::make_thumbnails;
use sheet_list::{SheetList, Sheets, THUMBNAILS};

pub use config::ReportConfig;

/// Doubtful images shown of a cluster.
const NUM_DOUBTFUL: usize = 8;
/// Images shown that fit nowhere.
const NUM_OUTLIERS: usize = 60;
/// Skipped files and groups of near-duplicates shown; the tables have all.
const MAX_SHOWN: usize = 500;
const PAGE: &str = "index.html";

/// Location and summary of a report.
#[derive(Debug, Clone, PartialEq)]
pub struct WrittenReport {
    /// The page.
    pub page: PathBuf,
    /// Its summary, a sentence each.
    pub summary: Vec<String>,
    /// Whether the thumbnails lie in the folder `thumbnails` beside the page, which must go with it.
    pub has_files_beside: bool,
}

/// Writes the report of a run to `folder`: `index.html`, `clusters.csv`, `outliers.csv`,
/// `near-duplicates.csv`, and where the thumbnails are many, the folder `thumbnails`. All get their names at
/// the end, the page last.
///
/// The folder has a record of these files ([`ResultFolder`]). An earlier report is replaced and its
/// thumbnails are removed; files that are not of the record, or have changed since, are replaced only where
/// the settings allow it, and never removed.
///
/// ```no_run
/// use std::path::Path;
///
/// use deepcluster_report::{ReportConfig, RunContents, write_report};
/// use deepcluster_trainer::RunDirectory;
///
/// # fn main() -> Result<(), deepcluster_report::ReportError> {
/// let contents = RunContents::read(&RunDirectory::open(Path::new("run"))?)?;
/// let report = write_report(&contents, Path::new("report"), &ReportConfig::default(), &mut ())?;
/// println!("{}: {}", report.page.display(), report.summary.join(" "));
/// # Ok(())
/// # }
/// ```
///
/// # Errors
/// [`ReportError::InvalidConfig`], [`ReportError::Io`] where a file cannot be written or may not be replaced,
/// [`ReportError::Stopped`] on request of `observer`, and the errors of a damaged run.
pub fn write_report(
    contents: &RunContents,
    folder: &Path,
    config: &ReportConfig,
    observer: &mut dyn Observer,
) -> Result<WrittenReport, ReportError> {
    config.validate()?;
    let failed = || ReportError::io("write a report to", folder);
    let mut files = ResultFolder::new(folder, config.replaceable);
    files.check([PAGE, CLUSTERS, OUTLIERS, DUPLICATES]).map_err(failed())?;
    let cards = cluster_cards(contents, NUM_DOUBTFUL)?;
    // Positions on the page: cluster by cluster, the most typical image first.
    let order: Vec<usize> = cards.iter().flat_map(|card| card.images.iter().copied()).collect();
    let mut sheets = Sheets::new(config.embed_bytes);
    let thumbnails = make_thumbnails(
        &contents.images,
        &contents.config.input(),
        &order,
        config.thumbnail_size,
        observer,
        &mut |number, sheet| sheets.add(number, sheet, &mut files).map_err(failed()),
    )?;
    let sheets = sheets.finish();
    let neighbors = contents.neighbors(map::NUM_NEIGHBORS)?;
    let (duplicates, outliers) = match &neighbors {
        Some(table) => (near_duplicates(contents, table, &thumbnails.glances), outliers(table, NUM_OUTLIERS)),
        None => (Vec::new(), Vec::new()),
    };
    files.stage(CLUSTERS, &clusters_table(contents, &cards)?).map_err(failed())?;
    files.stage(OUTLIERS, &outliers_table(contents, &outliers)?).map_err(failed())?;
    files.stage(DUPLICATES, &duplicates_table(contents, &duplicates)?).map_err(failed())?;
    let counts = Counts {
        num_duplicate_groups: duplicates.len(),
        num_duplicates: duplicates.iter().map(|group| group.images.len()).sum(),
        has_neighbors: neighbors.is_some(),
        num_lost: thumbnails.num_lost,
    };
    let findings = summary(contents, &cards, &counts);
    let components = contents.principal_components()?;
    let tsne = match (&neighbors, &components) {
        (Some(neighbors), Some(components)) if config.with_tsne => {
            map::tsne(neighbors, components, observer)?
        }
        _ => None,
    };
    let page = Page {
        contents,
        cards: &cards,
        positions: positions(&order),
        order: &order,
        neighbors: neighbors.as_ref(),
        outliers: &outliers,
        duplicates: &duplicates,
        maps: [("similarity (t-SNE)", tsne.as_ref()), ("main directions (PCA)", components.as_ref())],
        sheets: &sheets,
    };
    files.stage(PAGE, page.html(config, &findings)?.as_bytes()).map_err(failed())?;
    files.publish(|name| name.starts_with(THUMBNAILS)).map_err(failed())?;
    let summary = findings.iter().map(Finding::in_words).collect();
    let has_files_beside = matches!(sheets, SheetList::Beside(_));
    Ok(WrittenReport { page: folder.join(PAGE), summary, has_files_beside })
}

/// Everything that is shown. Images are known by their position on the page.
struct Page<'a> {
    contents: &'a RunContents,
    cards: &'a [ClusterCard],
    /// The image of each position.
    order: &'a [usize],
    /// The position of each image.
    positions: Vec<u32>,
    neighbors: Option<&'a NeighborTable>,
    outliers: &'a [misfits::Outlier],
    duplicates: &'a [DuplicateGroup],
    /// Maps with their names.
    maps: [(&'static str, Option<&'a Array2<f32>>); 2],
    sheets: &'a SheetList,
}

/// The position of each image on the page.
fn positions(order: &[usize]) -> Vec<u32> {
    let mut positions = vec![0; order.len()];
    order.iter().enumerate().for_each(|(position, &image)| positions[image] = position as u32);
    positions
}

impl Finding {
    fn in_words(&self) -> String {
        let clusters: Vec<String> = self.clusters.iter().map(u32::to_string).collect();
        if clusters.is_empty() { self.text.clone() } else { format!("{} {}", self.text, clusters.join(", ")) }
    }
}
