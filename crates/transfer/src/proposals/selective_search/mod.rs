//! Selective search (Uijlings, van de Sande, Gevers & Smeulders, *Selective Search for Object Recognition*,
//! IJCV 2013).

mod color;
mod graph_segmentation;
mod hierarchy;
mod region;

use deepcluster_engine::{SeedUse, derive_seed};
use deepcluster_evaluation::BoundingBox;
use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;
use serde::{Deserialize, Serialize};

use crate::proposals::error::ProposalError;
use color::Planes;
use graph_segmentation::EdgeList;
use hierarchy::{Similarity, merge_all};
use region::{TextureBins, describe_regions};

/// Colours in which an image is segmented and regions are compared.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum ColorSpace {
    /// Hue, saturation, value.
    Hsv,
    /// Lightness and two colour axes.
    Lab,
}

/// Settings of selective search. The defaults are the "fast" strategies of the paper: eight hierarchies of
/// regions.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct SelectiveSearchConfig {
    /// Colour spaces, one or more.
    pub color_spaces: Vec<ColorSpace>,
    /// Scales `k` of the first segmentation, each more than 0: larger ones begin with larger regions.
    pub scales: Vec<f32>,
    /// Standard deviation of the blur before it, in pixels, at least 0.
    pub sigma: f32,
    /// Smaller boxes are left out: least width and height in pixels.
    pub min_side: usize,
    /// Most boxes, the most promising ones; all where `None`.
    pub max_proposals: Option<usize>,
    /// Seed of the random factor in the order of boxes.
    pub seed: u64,
}

impl Default for SelectiveSearchConfig {
    fn default() -> Self {
        Self {
            color_spaces: vec![ColorSpace::Hsv, ColorSpace::Lab],
            scales: vec![50.0, 100.0],
            sigma: 0.8,
            min_side: 12,
            max_proposals: Some(2_000),
            seed: 31,
        }
    }
}

impl SelectiveSearchConfig {
    /// Checks every field.
    ///
    /// # Errors
    /// [`ProposalError::InvalidConfig`] with the first field that is out of range.
    pub fn validate(&self) -> Result<(), ProposalError> {
        let invalid =
            |field, value: String, allowed| Err(ProposalError::InvalidConfig { field, value, allowed });
        if self.color_spaces.is_empty() {
            return invalid("color_spaces", "[]".to_string(), "one or more");
        }
        let sound = |scale: &f32| *scale > 0.0 && scale.is_finite();
        if self.scales.is_empty() || !self.scales.iter().all(sound) {
            return invalid("scales", format!("{:?}", self.scales), "one or more, each more than 0");
        }
        if !(0.0..=100.0).contains(&self.sigma) {
            return invalid("sigma", self.sigma.to_string(), "0 to 100");
        }
        if self.max_proposals == Some(0) {
            return invalid("max_proposals", "0".to_string(), "at least 1");
        }
        Ok(())
    }
}

/// Boxes of an image `[height, width, 3]`, RGB, the most promising first; no box twice. The same image and
/// settings lead to the same boxes.
///
/// # Errors
/// [`ProposalError::InvalidConfig`], or [`ProposalError::InvalidImage`] where the pixels do not fill the
/// image.
pub fn selective_search(
    pixels: &[u8],
    width: usize,
    height: usize,
    config: &SelectiveSearchConfig,
) -> Result<Vec<BoundingBox>, ProposalError> {
    config.validate()?;
    if width == 0 || height == 0 || pixels.len() != 3 * width * height {
        return Err(ProposalError::InvalidImage { width, height, num_bytes: pixels.len() });
    }
    let mut generator = ChaCha8Rng::seed_from_u64(derive_seed(config.seed, SeedUse::Proposals, 0, 0));
    let mut ranked: Vec<(f32, [usize; 4])> = Vec::new();
    for &space in &config.color_spaces {
        let planes = Planes::new(pixels, width, height, space);
        let edges = EdgeList::sorted(&planes.blurred(config.sigma));
        let textures = TextureBins::new(&planes);
        for &scale in &config.scales {
            // As in the paper, no first region is smaller than the scale.
            let (labels, num_regions) = edges.segment(scale, scale as usize);
            let regions = describe_regions(&planes, &textures, &labels, num_regions);
            for similarity in [Similarity::All, Similarity::WithoutColor] {
                let boxes = merge_all(regions.clone(), &labels, width, height, similarity);
                // Boxes of late merges, which are few, come first, but not all of them.
                let num_boxes = boxes.len();
                for (index, bounds) in boxes.into_iter().enumerate() {
                    ranked.push(((num_boxes - index) as f32 * generator.random::<f32>(), bounds));
                }
            }
        }
    }
    ranked.sort_by(|a, b| a.0.total_cmp(&b.0));
    let mut seen = std::collections::HashSet::new();
    let is_large = |&(_, [left, top, right, bottom]): &(f32, [usize; 4])| {
        right - left + 1 >= config.min_side.min(width) && bottom - top + 1 >= config.min_side.min(height)
    };
    let chosen = ranked.into_iter().filter(is_large).filter(|&(_, bounds)| seen.insert(bounds));
    let boxes = chosen.map(|(_, [left, top, right, bottom])| BoundingBox {
        x_min: left as f32,
        y_min: top as f32,
        x_max: right as f32,
        y_max: bottom as f32,
    });
    Ok(boxes.take(config.max_proposals.unwrap_or(usize::MAX)).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn drawing(width: usize, height: usize, objects: &[([usize; 4], [u8; 3])]) -> Vec<u8> {
        let mut generator = ChaCha8Rng::seed_from_u64(4);
        let mut pixels = Vec::with_capacity(3 * width * height);
        for y in 0..height {
            for x in 0..width {
                let mut color = [90, 120, 80];
                for &([left, top, right, bottom], fill) in objects {
                    if (left..=right).contains(&x) && (top..=bottom).contains(&y) {
                        color = fill;
                    }
                }
                pixels.extend(color.map(|value: u8| value.saturating_add(generator.random_range(0..12))));
            }
        }
        pixels
    }

    #[test]
    fn drawn_objects_are_among_the_boxes() {
        // The second object has two colours, which only a merge puts together.
        let objects = [
            ([20, 30, 69, 79], [200, 40, 40]),
            ([100, 20, 149, 59], [30, 60, 200]),
            ([100, 60, 149, 99], [40, 50, 230]),
        ];
        let pixels = drawing(200, 120, &objects);
        let boxes = selective_search(&pixels, 200, 120, &SelectiveSearchConfig::default()).unwrap();
        for [x_min, y_min, x_max, y_max] in [[20., 30., 69., 79.], [100., 20., 149., 99.]] {
            let object = BoundingBox { x_min, y_min, x_max, y_max };
            let best = boxes.iter().map(|found| found.overlap(&object)).fold(0.0, f32::max);
            assert!(best > 0.8, "{object:?}: {best}");
        }
        assert_eq!(selective_search(&pixels, 200, 120, &SelectiveSearchConfig::default()).unwrap(), boxes);
        let few = SelectiveSearchConfig { max_proposals: Some(3), ..Default::default() };
        assert_eq!(selective_search(&pixels, 200, 120, &few).unwrap(), boxes[..3]);
    }

    #[test]
    fn degenerate_images_have_their_whole_as_a_box() {
        for (width, height) in [(1, 1), (1, 40), (40, 1), (30, 20)] {
            let pixels = vec![77; 3 * width * height];
            let boxes = selective_search(&pixels, width, height, &SelectiveSearchConfig::default()).unwrap();
            let whole =
                BoundingBox { x_min: 0.0, y_min: 0.0, x_max: width as f32 - 1.0, y_max: height as f32 - 1.0 };
            assert_eq!(boxes, [whole], "{width} x {height}");
        }
    }

    #[test]
    fn impossible_input_is_refused() {
        let default = SelectiveSearchConfig::default;
        let refused =
            |config: SelectiveSearchConfig| selective_search(&[0; 3], 1, 1, &config).unwrap_err().to_string();
        assert!(
            refused(SelectiveSearchConfig { scales: vec![0.0], ..default() }).starts_with("scales = [0.0]")
        );
        assert!(
            refused(SelectiveSearchConfig { color_spaces: vec![], ..default() }).starts_with("color_spaces")
        );
        assert!(refused(SelectiveSearchConfig { sigma: f32::NAN, ..default() }).starts_with("sigma = NaN"));
        assert!(
            refused(SelectiveSearchConfig { max_proposals: Some(0), ..default() }).contains("max_proposals")
        );
        let error = selective_search(&[0; 5], 1, 2, &default()).unwrap_err().to_string();
        assert!(error.contains("5 bytes are not a 1 x 2"), "{error}");
    }
}
