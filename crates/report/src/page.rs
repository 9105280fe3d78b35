//! The page, put together.

use std::path::{Path, PathBuf};

use askama::Template;
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use deepcluster_engine::Observer;
use deepcluster_files::{Replaceable, ResultFolder};
use deepcluster_plots::{LineChart, PlotError, Scale, Series};
use deepcluster_trainer::EpochMetrics;
use deepcluster_transfer::training_charts;
use ndarray::Array2;
use serde::Serialize;

use crate::cluster_cards::{ClusterCard, cluster_cards};
use crate::error::ReportError;
use crate::map::{self, quantized};
use crate::misfits::{self, DuplicateGroup, near_duplicates, outliers};
use crate::run_contents::{NeighborTable, RunContents};
use crate::summary::{Counts, Finding, grouped, summary};
use crate::tables::{CLUSTERS, DUPLICATES, OUTLIERS, clusters_table, duplicates_table, outliers_table};
use crate::thumbnails::{SHEET_SIDE, make_thumbnails};

/// Similar images shown beside an image.
const NUM_SIMILAR: usize = 6;
/// Doubtful images shown of a cluster.
const NUM_DOUBTFUL: usize = 8;
/// Images shown that fit nowhere.
const NUM_OUTLIERS: usize = 60;
/// Skipped files and groups of near-duplicates shown; the tables have all.
const MAX_SHOWN: usize = 500;
/// Images without a label.
const NO_LABEL: u16 = u16::MAX;
const PAGE: &str = "index.html";
/// Prefix of the names of thumbnails.
const THUMBNAILS: &str = "thumbnails/";

/// Settings of [`write_report`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ReportConfig {
    /// Title of the page; `None` is the name of the folder of images.
    pub title: Option<String>,
    /// Longest side of a thumbnail in pixels, 16 to 512.
    pub thumbnail_size: u32,
    /// Bytes of thumbnails that the page holds itself; where there are more, all are written beside it.
    pub embed_bytes: u64,
    /// Whether images get their places by t-SNE too, not only by their principal components.
    pub with_tsne: bool,
    /// The files of the folder that the report may take the place of.
    pub replaceable: Replaceable,
}

impl Default for ReportConfig {
    /// Thumbnails of 96 px, 24 MiB of them in the page, both maps, in place of an earlier report only.
    fn default() -> Self {
        Self {
            title: None,
            thumbnail_size: 96,
            embed_bytes: 24 << 20,
            with_tsne: true,
            replaceable: Replaceable::Own,
        }
    }
}

/// Where a report is, and what it says.
#[derive(Debug, Clone, PartialEq)]
pub struct WrittenReport {
    /// The page.
    pub page: PathBuf,
    /// Its summary, a sentence each.
    pub summary: Vec<String>,
    /// Whether the thumbnails lie in the folder `thumbnails` beside the page, which must go with it.
    pub has_files_beside: bool,
}

impl ReportConfig {
    /// Checks every field.
    ///
    /// # Errors
    /// [`ReportError::InvalidConfig`] naming the field that is out of range.
    pub fn validate(&self) -> Result<(), ReportError> {
        if (16..=512).contains(&self.thumbnail_size) {
            return Ok(());
        }
        let value = self.thumbnail_size.to_string();
        Err(ReportError::InvalidConfig { field: "thumbnail_size", value, allowed: "16 to 512" })
    }
}

/// Writes the report of a run to `folder`: `index.html`, `clusters.csv`, `outliers.csv`,
/// `near-duplicates.csv`, and where the thumbnails are many, the folder `thumbnails`. All get their names at
/// the end, the page last.
///
/// The folder has a record of these files ([`ResultFolder`]). An earlier report is replaced and its
/// thumbnails are removed; files that are not of the record, or have changed since, are replaced only where
/// the settings allow it, and never removed.
///
/// # Errors
/// [`ReportError::InvalidConfig`], [`ReportError::Io`] where a file cannot be written or may not be replaced,
/// [`ReportError::Stopped`] on request of `observer`, and what a damaged run leads to.
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
    let looked_at = make_thumbnails(
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
        Some(table) => (near_duplicates(contents, table, &looked_at.glances), outliers(table, NUM_OUTLIERS)),
        None => (Vec::new(), Vec::new()),
    };
    files.stage(CLUSTERS, &clusters_table(contents, &cards)?).map_err(failed())?;
    files.stage(OUTLIERS, &outliers_table(contents, &outliers)?).map_err(failed())?;
    files.stage(DUPLICATES, &duplicates_table(contents, &duplicates)?).map_err(failed())?;
    let counts = Counts {
        num_duplicate_groups: duplicates.len(),
        num_duplicates: duplicates.iter().map(|group| group.images.len()).sum(),
        has_neighbors: neighbors.is_some(),
        num_lost: looked_at.num_lost,
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

/// Sheets of thumbnails: kept for the page, until they are too many and go to files.
struct Sheets {
    embed_bytes: u64,
    num_bytes: u64,
    kept: Vec<Vec<u8>>,
    /// Names of files.
    written: Vec<String>,
}

/// The sheets as the page lists them.
#[derive(Serialize)]
#[serde(untagged)]
enum SheetList {
    /// JPEG files in base64.
    Inside { embedded: Vec<String> },
    /// Names of files relative to the page.
    Beside(BesideList),
}

#[derive(Serialize)]
struct BesideList {
    files: Vec<String>,
}

impl Sheets {
    fn new(embed_bytes: u64) -> Self {
        Self { embed_bytes, num_bytes: 0, kept: Vec::new(), written: Vec::new() }
    }

    fn add(&mut self, number: usize, jpeg: Vec<u8>, files: &mut ResultFolder) -> std::io::Result<()> {
        self.num_bytes += jpeg.len() as u64;
        if self.num_bytes <= self.embed_bytes {
            self.kept.push(jpeg);
            return Ok(());
        }
        for (number, kept) in std::mem::take(&mut self.kept).into_iter().enumerate() {
            self.write(number, &kept, files)?;
        }
        self.write(number, &jpeg, files)
    }

    fn write(&mut self, number: usize, jpeg: &[u8], files: &mut ResultFolder) -> std::io::Result<()> {
        let name = format!("{THUMBNAILS}{number:05}.jpg");
        files.stage(&name, jpeg)?;
        self.written.push(name);
        Ok(())
    }

    fn finish(self) -> SheetList {
        if self.written.is_empty() {
            SheetList::Inside { embedded: self.kept.iter().map(|jpeg| STANDARD.encode(jpeg)).collect() }
        } else {
            SheetList::Beside(BesideList { files: self.written })
        }
    }
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

#[derive(Template)]
#[template(path = "report.html")]
struct ReportTemplate<'a> {
    title: String,
    findings: &'a [Finding],
    charts: Vec<String>,
    num_images: String,
    num_clusters: String,
    num_outliers: usize,
    num_duplicate_groups: String,
    duplicates_are_cut: bool,
    skipped: Vec<(String, String)>,
    num_skipped: usize,
    is_finished: bool,
    has_labels: bool,
    style: &'static str,
    script: &'static str,
    data: String,
}

/// Data for the script of the page.
#[derive(Serialize)]
struct PageData<'a> {
    /// Folder of the images as the beginning of a link, where they are files, and their names: paths below it.
    root: Option<String>,
    paths: Vec<&'a str>,
    labels: &'a [String],
    /// u16 for each position, in base64; 65,535 where there is none.
    label_of: Option<String>,
    clusters: Vec<ClusterData>,
    /// u32, `similar_count` for each position, in base64.
    similar: Option<String>,
    similar_count: usize,
    maps: Vec<MapData>,
    outliers: Vec<(u32, f32)>,
    duplicates: Vec<DuplicateData>,
    sheet_side: usize,
    sheets: &'a SheetList,
}

#[derive(Serialize)]
struct ClusterData {
    cluster: u32,
    first: usize,
    size: usize,
    cohesion: Option<f64>,
    doubtful: Vec<(u32, Option<f32>)>,
    labels: Vec<(u32, usize)>,
}

#[derive(Serialize)]
struct MapData {
    name: &'static str,
    /// u16, x and y for each position, in base64.
    places: String,
}

#[derive(Serialize)]
struct DuplicateData {
    images: Vec<u32>,
    identical: bool,
}

impl Page<'_> {
    fn html(&self, config: &ReportConfig, findings: &[Finding]) -> Result<String, ReportError> {
        let data = serde_json::to_string(&self.data())
            .map_err(|error| ReportError::Page { reason: error.to_string() })?;
        let skipped = &self.contents.skipped;
        let template = ReportTemplate {
            title: config.title.clone().unwrap_or_else(|| self.title()),
            findings,
            charts: self.charts()?,
            num_images: grouped(self.order.len()),
            num_clusters: grouped(self.cards.len()),
            num_outliers: self.outliers.len(),
            num_duplicate_groups: grouped(self.duplicates.len()),
            duplicates_are_cut: self.duplicates.len() > MAX_SHOWN,
            skipped: skipped
                .iter()
                .take(MAX_SHOWN)
                .map(|file| (file.path.to_string_lossy().into_owned(), file.reason.clone()))
                .collect(),
            num_skipped: skipped.len(),
            is_finished: self.contents.is_finished(),
            has_labels: self.contents.images.labels().is_some(),
            style: include_str!("../templates/report.css"),
            script: include_str!("../templates/report.js"),
            // In a script element nothing may look like its end.
            data: data.replace('<', "\\u003c"),
        };
        template.render().map_err(|error| ReportError::Page { reason: error.to_string() })
    }

    fn title(&self) -> String {
        self.contents.images.location().title()
    }

    fn data(&self) -> PageData<'_> {
        let images = &self.contents.images;
        let labels = images.labels();
        let label_of = labels.map(|_| {
            let label = |&image: &usize| {
                self.contents.label(image).and_then(|label| u16::try_from(label).ok()).unwrap_or(NO_LABEL)
            };
            base64_u16(self.order.iter().map(label))
        });
        let similar_count = self.neighbors.map_or(0, |table| table.indices.ncols().min(NUM_SIMILAR));
        let similar = self.neighbors.map(|table| {
            let of_image = |&image: &usize| {
                let row = table.indices.row(image);
                (0..similar_count).map(move |rank| self.positions[row[rank] as usize])
            };
            let bytes = self.order.iter().flat_map(of_image).flat_map(u32::to_le_bytes);
            STANDARD.encode(bytes.collect::<Vec<u8>>())
        });
        let maps = self.maps.iter().filter_map(|(name, places)| {
            let on_page = (*places)?.select(ndarray::Axis(0), self.order);
            Some(MapData { name, places: base64_u16(quantized(&on_page).into_iter()) })
        });
        PageData {
            root: images.location().folder().map(file_url),
            paths: self.order.iter().map(|&image| images.name(image)).collect(),
            labels: labels.map(|labels| labels.names.as_slice()).unwrap_or_default(),
            label_of,
            clusters: self.clusters(),
            similar,
            similar_count,
            maps: maps.collect(),
            outliers: self
                .outliers
                .iter()
                .map(|outlier| (self.positions[outlier.image], outlier.distance))
                .collect(),
            duplicates: self
                .duplicates
                .iter()
                .take(MAX_SHOWN)
                .map(|group| DuplicateData {
                    images: group.images.iter().map(|&image| self.positions[image]).collect(),
                    identical: group.is_identical,
                })
                .collect(),
            sheet_side: SHEET_SIDE,
            sheets: self.sheets,
        }
    }

    fn clusters(&self) -> Vec<ClusterData> {
        let mut first = 0;
        let describe = |card: &ClusterCard| {
            let data = ClusterData {
                cluster: card.cluster,
                first,
                size: card.images.len(),
                cohesion: card.cohesion.map(|cohesion| (cohesion * 1e4).round() / 1e4),
                doubtful: card
                    .doubtful
                    .iter()
                    .map(|&(image, doubt)| (self.positions[image], doubt))
                    .collect(),
                labels: card.labels.clone(),
            };
            first += card.images.len();
            data
        };
        self.cards.iter().map(describe).collect()
    }

    /// The curves as SVG.
    fn charts(&self) -> Result<Vec<String>, ReportError> {
        let metrics = &self.contents.metrics;
        let run = [(self.title(), metrics.clone())];
        let mut charts: Vec<LineChart> = training_charts(&run).into_iter().map(|(_, chart)| chart).collect();
        charts.push(size_chart(metrics));
        let svg = |chart: &LineChart| match chart.to_svg() {
            Ok(svg) => Ok(Some(svg)),
            Err(PlotError::Empty { .. }) => Ok(None),
            Err(error) => Err(error.into()),
        };
        charts.iter().filter_map(|chart| svg(chart).transpose()).collect()
    }
}

/// How large clusters are, epoch by epoch.
fn size_chart(metrics: &[EpochMetrics]) -> LineChart {
    let of_share = |name: &str, share: f64| {
        let point = |epoch: &EpochMetrics| {
            let mut sizes = epoch.cluster_sizes.clone();
            sizes.sort_unstable();
            let place = (sizes.len().saturating_sub(1) as f64 * share).round() as usize;
            Some((epoch.epoch as f64, *sizes.get(place)? as f64))
        };
        Series { name: name.to_string(), points: metrics.iter().filter_map(point).collect() }
    };
    LineChart {
        title: "Images in a cluster".to_string(),
        x_label: "epoch".to_string(),
        y_label: "images".to_string(),
        x_scale: Scale::Linear,
        series: vec![of_share("largest", 1.0), of_share("middle", 0.5), of_share("smallest", 0.0)],
    }
}

fn base64_u16(values: impl Iterator<Item = u16>) -> String {
    STANDARD.encode(values.flat_map(u16::to_le_bytes).collect::<Vec<u8>>())
}

/// A folder as the beginning of a link.
fn file_url(folder: &Path) -> String {
    let mut url = "file://".to_string();
    let path = folder.to_string_lossy().replace('\\', "/");
    if !path.starts_with('/') {
        url.push('/');
    }
    for byte in path.bytes() {
        match byte {
            b'A'..=b'Z' | b'a'..=b'z' | b'0'..=b'9' | b'/' | b'-' | b'_' | b'.' | b'~' | b':' => {
                url.push(char::from(byte))
            }
            _ => url.push_str(&format!("%{byte:02X}")),
        }
    }
    if !url.ends_with('/') {
        url.push('/');
    }
    url
}
