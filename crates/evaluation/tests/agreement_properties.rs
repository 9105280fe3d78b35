//! Properties of the measures of agreement that hold for any two labellings.

use deepcluster_evaluation::{NmiNorm, adjusted_rand_index, clustering_accuracy, nmi, purity};
use proptest::prelude::*;

proptest! {
    #[test]
    fn measures_are_symmetric_and_in_their_range(
        pairs in proptest::collection::vec((0_u32..6, 0_u32..6), 1..60),
    ) {
        let (a, b): (Vec<u32>, Vec<u32>) = pairs.into_iter().unzip();
        for norm in [NmiNorm::Arithmetic, NmiNorm::Geometric] {
            let (forth, back) = (nmi(&a, &b, norm).unwrap(), nmi(&b, &a, norm).unwrap());
            prop_assert!((0.0..=1.0).contains(&forth));
            prop_assert!((forth - back).abs() < 1e-12);
        }
        let (forth, back) = (adjusted_rand_index(&a, &b).unwrap(), adjusted_rand_index(&b, &a).unwrap());
        prop_assert!((-1.0..=1.0).contains(&forth));
        prop_assert!((forth - back).abs() < 1e-12);
        let (purity, accuracy) = (purity(&a, &b).unwrap(), clustering_accuracy(&a, &b).unwrap());
        prop_assert!(0.0 < accuracy && accuracy <= purity && purity <= 1.0);
    }
}
