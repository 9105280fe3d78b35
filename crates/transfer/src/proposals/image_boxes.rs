//! The boxes of many images.

use std::collections::BTreeMap;

use deepcluster_evaluation::BoundingBox;

/// Boxes by the name of their image, without extension.
pub type Proposals = BTreeMap<String, Vec<BoundingBox>>;
