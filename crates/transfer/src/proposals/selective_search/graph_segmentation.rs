//! Segmentation of an image by a graph of its pixels (Felzenszwalb & Huttenlocher, IJCV 2004).

use super::color::Planes;

/// The edges between neighbouring pixels, most alike first.
pub(super) struct EdgeList {
    num_pixels: usize,
    /// Colour distance and the two pixels.
    edges: Vec<(f32, u32, u32)>,
}

impl EdgeList {
    /// The edges between every pixel and its eight neighbours.
    pub(super) fn sorted(planes: &Planes) -> Self {
        let (width, height) = (planes.width, planes.height);
        let mut edges = Vec::with_capacity(4 * width * height);
        let distance = |a: usize, b: usize| {
            planes.values.iter().map(|plane| (plane[a] - plane[b]).powi(2)).sum::<f32>().sqrt()
        };
        for y in 0..height {
            for x in 0..width {
                let pixel = y * width + x;
                let mut add = |other: usize| edges.push((distance(pixel, other), pixel as u32, other as u32));
                if x + 1 < width {
                    add(pixel + 1);
                }
                if y + 1 < height {
                    add(pixel + width);
                    if x + 1 < width {
                        add(pixel + width + 1);
                    }
                    if x > 0 {
                        add(pixel + width - 1);
                    }
                }
            }
        }
        // Distances are not negative, so that their bits have their order; equal ones keep that of the
        // pixels.
        edges.sort_by_key(|&(distance, ..)| distance.to_bits());
        Self { num_pixels: width * height, edges }
    }

    /// A label from 0 for every pixel, and how many there are. Two components are joined by an edge that is
    /// no longer than the longest one in either plus `scale` over its size; those smaller than `min_size` are
    /// joined to a neighbour.
    pub(super) fn segment(&self, scale: f32, min_size: usize) -> (Vec<u32>, usize) {
        let mut components = Components::new(self.num_pixels, scale);
        for &(distance, a, b) in &self.edges {
            let (a, b) = (components.root(a), components.root(b));
            if a != b
                && distance <= components.threshold[a as usize]
                && distance <= components.threshold[b as usize]
            {
                let joined = components.join(a, b);
                components.threshold[joined as usize] =
                    distance + scale / components.size[joined as usize] as f32;
            }
        }
        for &(_, a, b) in &self.edges {
            let (a, b) = (components.root(a), components.root(b));
            let smaller = components.size[a as usize].min(components.size[b as usize]);
            if a != b && (smaller as usize) < min_size {
                components.join(a, b);
            }
        }
        components.labels()
    }
}

/// Disjoint sets of pixels.
struct Components {
    parent: Vec<u32>,
    size: Vec<u32>,
    /// Longest edge that may still be added to a component, by its root.
    threshold: Vec<f32>,
}

impl Components {
    fn new(num_pixels: usize, scale: f32) -> Self {
        Self {
            parent: (0..num_pixels as u32).collect(),
            size: vec![1; num_pixels],
            threshold: vec![scale; num_pixels],
        }
    }

    fn root(&mut self, mut pixel: u32) -> u32 {
        while self.parent[pixel as usize] != pixel {
            let grandparent = self.parent[self.parent[pixel as usize] as usize];
            self.parent[pixel as usize] = grandparent;
            pixel = grandparent;
        }
        pixel
    }

    fn join(&mut self, a: u32, b: u32) -> u32 {
        let (large, small) = if self.size[a as usize] >= self.size[b as usize] { (a, b) } else { (b, a) };
        self.parent[small as usize] = large;
        self.size[large as usize] += self.size[small as usize];
        large
    }

    fn labels(mut self) -> (Vec<u32>, usize) {
        let mut label_of = vec![u32::MAX; self.parent.len()];
        let mut num_labels = 0;
        let mut labels = Vec::with_capacity(self.parent.len());
        for pixel in 0..self.parent.len() as u32 {
            let root = self.root(pixel) as usize;
            if label_of[root] == u32::MAX {
                label_of[root] = num_labels;
                num_labels += 1;
            }
            labels.push(label_of[root]);
        }
        (labels, num_labels as usize)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Grey values of a small image in one plane.
    fn planes(width: usize, values: &[f32]) -> Planes {
        let empty = vec![0.0; values.len()];
        Planes { width, height: values.len() / width, values: [values.to_vec(), empty.clone(), empty] }
    }

    #[test]
    fn flat_parts_are_components() {
        #[rustfmt::skip]
        let values = [
            0.0, 0.0, 0.0, 90.0, 90.0,
            0.0, 0.0, 0.0, 90.0, 90.0,
            0.0, 0.0, 0.0, 50.0, 90.0,
        ];
        let edges = EdgeList::sorted(&planes(5, &values));
        let (labels, num_labels) = edges.segment(1.0, 1);
        assert_eq!(num_labels, 3);
        assert_eq!(labels, [0, 0, 0, 1, 1, 0, 0, 0, 1, 1, 0, 0, 0, 2, 1]);
        // The lone pixel is nearer to the bright part; a large scale joins all.
        let (labels, num_labels) = edges.segment(1.0, 2);
        assert_eq!((num_labels, labels[13]), (2, 1));
        assert_eq!(edges.segment(1e6, 1).1, 1);
    }

    #[test]
    fn slow_changes_do_not_divide_but_jumps_do() {
        let ramp: Vec<f32> = (0..60).map(|x| x as f32 + if x >= 30 { 100.0 } else { 0.0 }).collect();
        let (labels, num_labels) = EdgeList::sorted(&planes(60, &ramp)).segment(50.0, 1);
        assert_eq!(num_labels, 2);
        assert_eq!((labels[29], labels[30]), (0, 1));
    }
}
