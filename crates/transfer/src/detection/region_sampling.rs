//! The regions of an image that a step learns from (Fast R-CNN, section 2.3).

use deepcluster_evaluation::BoundingBox;
use rand::seq::IndexedRandom;
use rand_chacha::ChaCha8Rng;

use super::DetectionConfig;
use super::boxes::encode;
use crate::voc_dataset::VocBox;

/// A region with its target.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct SampledRegion {
    pub(super) bounds: BoundingBox,
    /// The class of its object and how the region becomes the box of the object, or `None` for the
    /// background.
    pub(super) object: Option<(usize, [f32; 4])>,
}

/// Draws up to `config.regions_per_image` regions from `proposals` and the boxes of the objects themselves.
/// Difficult objects are not learned, and neither are regions that hold one.
pub(super) fn sample_regions(
    proposals: &[BoundingBox],
    objects: &[VocBox],
    config: &DetectionConfig,
    generator: &mut ChaCha8Rng,
) -> Vec<SampledRegion> {
    let (mut foreground, mut near, mut far) = (Vec::new(), Vec::new(), Vec::new());
    let object_bounds = objects.iter().filter(|object| !object.is_difficult).map(|object| object.bounds);
    for bounds in object_bounds.chain(proposals.iter().copied()) {
        let overlaps = objects.iter().map(|object| (bounds.overlap(&object.bounds), object));
        let best = overlaps.reduce(|best, next| if next.0 > best.0 { next } else { best });
        match best {
            Some((overlap, object)) if f64::from(overlap) >= config.foreground_overlap => {
                if !object.is_difficult {
                    let object = Some((object.class, encode(&bounds, &object.bounds)));
                    foreground.push(SampledRegion { bounds, object });
                }
            }
            Some((overlap, _)) if f64::from(overlap) >= config.background_overlap => {
                near.push(SampledRegion { bounds, object: None });
            }
            _ => far.push(SampledRegion { bounds, object: None }),
        }
    }
    let most = (config.regions_per_image as f64 * config.foreground_share).round() as usize;
    let mut sampled = draw(&foreground, most.max(1), generator);
    let background = if near.is_empty() { far } else { near };
    sampled.extend(draw(&background, config.regions_per_image.saturating_sub(sampled.len()), generator));
    sampled
}

/// Up to `count` different regions.
fn draw(regions: &[SampledRegion], count: usize, generator: &mut ChaCha8Rng) -> Vec<SampledRegion> {
    regions.sample(generator, count).cloned().collect()
}

#[cfg(test)]
mod tests {
    use rand::SeedableRng;

    use super::*;

    fn at(x: f32) -> BoundingBox {
        BoundingBox { x_min: x, y_min: 0.0, x_max: x + 9.0, y_max: 9.0 }
    }

    #[test]
    fn regions_are_drawn_in_their_shares() {
        let object = |x, class, is_difficult| VocBox { class, bounds: at(x), is_difficult };
        let objects = [object(0.0, 3, false), object(100.0, 1, true)];
        // Ten that hold the object, ten beside it, ten far away, and one that holds the difficult one.
        let proposals: Vec<BoundingBox> = (0..10)
            .flat_map(|index| {
                [at(0.1 * index as f32), at(6.0 + 0.1 * index as f32), at(200.0 + index as f32)]
            })
            .chain([at(100.0)])
            .collect();
        let config = DetectionConfig { regions_per_image: 12, ..Default::default() };
        let mut generator = ChaCha8Rng::seed_from_u64(1);
        let sampled = sample_regions(&proposals, &objects, &config, &mut generator);
        let foreground: Vec<_> = sampled.iter().filter(|region| region.object.is_some()).collect();
        assert_eq!((sampled.len(), foreground.len()), (12, 3));
        assert!(foreground.iter().all(|region| region.object.is_some_and(|(class, _)| class == 3)));
        assert!(sampled.iter().all(|region| region.bounds.x_min < 50.0));
        let nothing = sample_regions(&proposals, &[], &config, &mut generator);
        assert!(nothing.len() == 12 && nothing.iter().all(|region| region.object.is_none()));
        assert!(sample_regions(&[], &[], &config, &mut generator).is_empty());
    }
}
