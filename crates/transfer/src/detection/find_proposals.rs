//! Proposals of all images of a data set.

use std::path::Path;

use deepcluster_data::{DEFAULT_MAX_PIXELS, Images, resize};
use deepcluster_engine::{Event, Observer, Phase};
use deepcluster_evaluation::BoundingBox;
use rayon::prelude::*;
use serde::{Deserialize, Serialize};

use crate::error::TransferError;
use crate::proposals::csv_file::write_proposals;
use crate::proposals::image_boxes::Proposals;
use crate::proposals::proposal_file::read_proposals;
use crate::proposals::recall::recall;
use crate::proposals::selective_search::{SelectiveSearchConfig, selective_search};
use crate::voc_dataset::{VocDataset, VocImages};

/// Larger images are shrunk before the search: longer side in pixels, that of VOC's photographs.
const SEARCH_SIDE: u32 = 500;
/// Images searched between two looks at the observer.
const SEARCH_BATCH: usize = 16;

/// Number of boxes, and share of the objects that they cover.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct ProposalQuality {
    /// Boxes per image, in the mean.
    pub num_per_image: f64,
    /// Share of the objects, difficult ones left out, that a box overlaps by 0.5; `None` without objects.
    pub recall: Option<f64>,
}

impl ProposalQuality {
    /// Measures the first `most` boxes of each image.
    pub(super) fn measure(images: &VocImages, proposals: &Proposals, most: usize) -> Self {
        let (mut num_boxes, mut num_objects, mut num_found) = (0, 0, 0.0);
        for (name, objects) in images.names.iter().zip(&images.objects) {
            let boxes = &proposals[name];
            let boxes = &boxes[..boxes.len().min(most)];
            let objects: Vec<BoundingBox> =
                objects.iter().filter(|object| !object.is_difficult).map(|object| object.bounds).collect();
            num_boxes += boxes.len();
            num_objects += objects.len();
            num_found += recall(boxes, &objects, 0.5).unwrap_or(0.0) * objects.len() as f64;
        }
        Self {
            num_per_image: num_boxes as f64 / images.names.len().max(1) as f64,
            recall: (num_objects > 0).then(|| num_found / num_objects as f64),
        }
    }
}

/// Boxes of all training and test images by selective search. With a `cache` file, `.csv`, boxes that are in
/// it are not searched for again, and new ones are added to it, also when the search is stopped.
///
/// An image that cannot be read has no boxes.
///
/// # Errors
/// [`TransferError::Proposals`], [`TransferError::Stopped`] on request of `observer`.
pub fn find_proposals(
    data: &VocDataset,
    config: &SelectiveSearchConfig,
    cache: Option<&Path>,
    observer: &mut dyn Observer,
) -> Result<Proposals, TransferError> {
    config.validate()?;
    let mut found = match cache {
        Some(path) if path.exists() => read_proposals(path)?,
        _ => Proposals::new(),
    };
    let sets = [&data.train, &data.test].into_iter();
    let mut open: Vec<(&String, (&Images, usize))> =
        sets.flat_map(|set| set.names.iter().zip((0..).map(|index| (&*set.images, index)))).collect();
    open.sort_by_key(|(name, _)| *name);
    open.dedup_by_key(|(name, _)| *name);
    open.retain(|(name, _)| !found.contains_key(*name));
    let total = open.len();
    if total == 0 {
        return Ok(found);
    }
    observer.event(&Event::Started { phase: Phase::images("proposals"), epoch: None, total });
    let mut is_stopped = false;
    for (index, batch) in open.chunks(SEARCH_BATCH).enumerate() {
        is_stopped = observer.should_stop();
        if is_stopped {
            break;
        }
        let boxes: Vec<_> = batch
            .par_iter()
            .map(|(name, (images, index))| Ok((name.to_string(), search(images, *index, config)?)))
            .collect::<Result<_, TransferError>>()?;
        found.extend(boxes);
        let done = (index * SEARCH_BATCH + batch.len()).min(total);
        observer.event(&Event::Progress { done, loss: None });
    }
    if let Some(path) = cache {
        if let Some(folder) = path.parent() {
            std::fs::create_dir_all(folder).map_err(|source| TransferError::Io {
                action: "create",
                path: folder.to_path_buf(),
                source,
            })?;
        }
        write_proposals(path, &found)?;
    }
    if is_stopped { Err(TransferError::Stopped) } else { Ok(found) }
}

fn search(
    images: &Images,
    image_index: usize,
    config: &SelectiveSearchConfig,
) -> Result<Vec<BoundingBox>, TransferError> {
    let image = match images.decode(image_index, DEFAULT_MAX_PIXELS) {
        Ok(image) => image,
        Err(error) => {
            log::warn!("no boxes: {error}");
            return Ok(Vec::new());
        }
    };
    let shrinking = (SEARCH_SIDE as f32 / image.width.max(image.height) as f32).min(1.0);
    let side = |length: u32| ((length as f32 * shrinking).round() as u32).max(1);
    let small = resize(&image, side(image.width), side(image.height))?;
    let boxes = selective_search(&small.pixels, small.width as usize, small.height as usize, config)?;
    let (across, down) = (image.width as f32 / small.width as f32, image.height as f32 / small.height as f32);
    // The last pixel belongs to a box: it is the edge behind it that is scaled.
    let scaled = boxes.into_iter().map(|bounds| BoundingBox {
        x_min: bounds.x_min * across,
        y_min: bounds.y_min * down,
        x_max: (bounds.x_max + 1.0) * across - 1.0,
        y_max: (bounds.y_max + 1.0) * down - 1.0,
    });
    Ok(scaled.collect())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::voc_dataset::tests::bars;

    /// Stops at once.
    struct Impatient;

    impl Observer for Impatient {
        fn event(&mut self, _event: &Event) {}

        fn should_stop(&self) -> bool {
            true
        }
    }

    #[test]
    fn boxes_are_searched_once() {
        let root = tempfile::tempdir().unwrap();
        bars(root.path(), 2, 160);
        let data = VocDataset::open(root.path(), "train", "test").unwrap();
        let cache = root.path().join("out/boxes.csv");
        let config = SelectiveSearchConfig::default();
        let stopped = find_proposals(&data, &config, Some(&cache), &mut Impatient);
        assert!(matches!(stopped, Err(TransferError::Stopped)) && cache.exists());
        let found = find_proposals(&data, &config, Some(&cache), &mut ()).unwrap();
        assert_eq!(found.len(), 4);
        assert!(ProposalQuality::measure(&data.test, &found, 1_000).recall.unwrap() > 0.9);
        // No image is left to be searched, so that nobody can stop it.
        assert_eq!(find_proposals(&data, &config, Some(&cache), &mut Impatient).unwrap(), found);
    }
}
