//! The regions of R-MAC.

use deepcluster_kernels::MapRegion;

/// Part of a region that its neighbour along the longer side shares, as nearly as whole numbers of regions
/// allow.
const WANTED_OVERLAP: f64 = 0.4;

/// Square regions of a map of `height x width` cells at `num_scales` sizes (Tolias et al., section 3.2), and
/// the whole map: at scale `l` from 1 on, squares of side `2 min(height, width) / (l + 1)`, `l` along the
/// shorter side and as many more along the longer one as the overlap of the largest asks for, at equal
/// distances.
pub fn rmac_regions(height: usize, width: usize, num_scales: usize) -> Vec<MapRegion> {
    let whole = MapRegion { image: 0, top: 0, left: 0, bottom: height.max(1) - 1, right: width.max(1) - 1 };
    let mut regions = vec![whole];
    let (short, long) = (height.min(width), height.max(width));
    if short == 0 {
        return regions;
    }
    // Between two and seven squares along the longer side.
    let extra = if short == long {
        0
    } else {
        let overlap = |count: usize| 1.0 - (long - short) as f64 / (count - 1) as f64 / short as f64;
        let distance = |count: &usize| (overlap(*count) - WANTED_OVERLAP).abs();
        let best = (2..=7).min_by(|a, b| distance(a).total_cmp(&distance(b))).unwrap_or(2);
        best - 1
    };
    for scale in 1..=num_scales {
        let side = 2 * short / (scale + 1);
        if side == 0 {
            break;
        }
        let count = |length: usize| scale + if length == long && short != long { extra } else { 0 };
        let starts = |length: usize| -> Vec<usize> {
            let count = count(length);
            let start = |index: usize| (index * (length - side)).checked_div(count - 1).unwrap_or(0);
            (0..count).map(start).collect()
        };
        for &top in &starts(height) {
            for &left in &starts(width) {
                let (bottom, right) = (top + side - 1, left + side - 1);
                regions.push(MapRegion { image: 0, top, left, bottom, right });
            }
        }
    }
    regions
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_square_has_as_many_regions_as_squares_say() {
        // 1 + 1 + 4 + 9.
        let regions = rmac_regions(12, 12, 3);
        assert_eq!(regions.len(), 15);
        // Scale 1 is the whole, scale 2 four squares of 8, scale 3 nine of 6.
        assert_eq!(regions[0], regions[1]);
        assert_eq!(regions[5], MapRegion { image: 0, top: 4, left: 4, bottom: 11, right: 11 });
        assert_eq!(regions[10], MapRegion { image: 0, top: 3, left: 3, bottom: 8, right: 8 });
    }

    #[test]
    fn the_longer_side_gets_more_that_overlap_and_reach_the_edge() {
        // Two squares of 24 along 32 overlap by 16 of 24, more do so still more: one more than along the
        // other side.
        let regions = rmac_regions(24, 32, 3);
        assert_eq!(regions.len(), 1 + 2 + 6 + 12);
        for region in &regions {
            assert!(region.bottom < 24 && region.right < 32);
        }
        assert!(regions.iter().any(|region| region.left == 8 && region.right == 31));
        // Three times as long: six squares overlap by 0.6, five by 0.5, four by a third.
        assert_eq!(rmac_regions(10, 30, 1).len(), 1 + 4);
        // A map is mirrored with its regions.
        let upright: Vec<_> =
            rmac_regions(32, 24, 3).iter().map(|region| (region.left, region.top)).collect();
        let mut flat: Vec<_> = regions.iter().map(|region| (region.top, region.left)).collect();
        let mut upright = upright;
        flat.sort_unstable();
        upright.sort_unstable();
        assert_eq!(upright, flat);
    }

    #[test]
    fn small_maps_have_what_fits() {
        assert_eq!(rmac_regions(1, 1, 3).len(), 2);
        assert!(rmac_regions(1, 9, 3).iter().all(|region| region.bottom == 0 && region.right < 9));
    }
}
