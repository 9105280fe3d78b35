//! The kinds of drawings.

use crate::synthetic::variation::Variation;
use crate::synthetic::{shapes, textures};

/// One kind: a set of points of the plane.
pub(crate) struct Kind {
    pub(crate) name: &'static str,
    pub(crate) extent: Extent,
    /// Whether a point belongs to the figure, for the figure's own coordinates.
    pub(crate) contains: fn(f32, f32, &Variation) -> bool,
}

/// Unit of the coordinates of a kind.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Extent {
    /// A single figure around the origin within a radius of about 1.
    Shape,
    /// Without bounds, repeating about every 1.
    Texture,
}

/// Every kind; the order is that of the drawings.
pub(crate) const KINDS: [Kind; 12] = [
    Kind { name: "disc", extent: Extent::Shape, contains: shapes::disc },
    Kind { name: "square", extent: Extent::Shape, contains: shapes::square },
    Kind { name: "triangle", extent: Extent::Shape, contains: shapes::triangle },
    Kind { name: "star", extent: Extent::Shape, contains: shapes::star },
    Kind { name: "ring", extent: Extent::Shape, contains: shapes::ring },
    Kind { name: "cross", extent: Extent::Shape, contains: shapes::cross },
    Kind { name: "spiral", extent: Extent::Shape, contains: shapes::spiral },
    Kind { name: "stripes", extent: Extent::Texture, contains: textures::stripes },
    Kind { name: "checkerboard", extent: Extent::Texture, contains: textures::checkerboard },
    Kind { name: "dots", extent: Extent::Texture, contains: textures::dots },
    Kind { name: "waves", extent: Extent::Texture, contains: textures::waves },
    Kind { name: "blobs", extent: Extent::Texture, contains: textures::blobs },
];
