//! The data of the page's script.

use std::path::Path;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde::Serialize;

use super::Page;
use super::sheet_list::SheetList;
use crate::cluster_cards::ClusterCard;
use crate::map::quantized;
use crate::thumbnails::SHEET_SIDE;

/// Similar images shown beside an image.
const NUM_SIMILAR: usize = 6;
/// Images without a label.
const NO_LABEL: u16 = u16::MAX;

/// Data for the script of the page.
#[derive(Serialize)]
pub(super) struct PageData<'a> {
    /// Folder of the images as the beginning of a link, where they are files, and their names: paths below
    /// it.
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
    pub(super) fn data(&self) -> PageData<'_> {
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
            let similar_to = |&image: &usize| {
                let row = table.indices.row(image);
                (0..similar_count).map(move |rank| self.positions[row[rank] as usize])
            };
            let bytes = self.order.iter().flat_map(similar_to).flat_map(u32::to_le_bytes);
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
                .take(super::MAX_SHOWN)
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
