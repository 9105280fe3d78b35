//! Trains on images that no file holds, and assigns others to the clusters.
//!
//! `cargo run --release --example own_source`, half a minute on 2 cores. Expect the clusters of six images at
//! the end: discs and bars should be in different ones.
#![allow(clippy::print_stdout, reason = "an example prints its results")]

use std::io::{self, Cursor};
use std::sync::Arc;

use deepcluster::data::{ImageBytes, ImageSource, Images, Location};
use deepcluster::prelude::*;

/// Discs and bars of many sizes and shades, each made when it is read.
#[derive(Debug)]
struct Shapes {
    names: Vec<String>,
}

impl Shapes {
    fn new(numbers: std::ops::Range<usize>) -> Self {
        let name =
            |number: usize| format!("{}-{number}", if number.is_multiple_of(2) { "disc" } else { "bar" });
        Self { names: numbers.map(name).collect() }
    }
}

impl ImageSource for Shapes {
    fn location(&self) -> Location {
        Location::Other("memory:shapes".into())
    }

    fn len(&self) -> usize {
        self.names.len()
    }

    fn name(&self, index: usize) -> &str {
        &self.names[index]
    }

    fn read(&self, index: usize) -> io::Result<ImageBytes> {
        let name = self.names.get(index).ok_or(io::ErrorKind::NotFound)?;
        let (kind, number) = name.split_once('-').ok_or(io::ErrorKind::InvalidData)?;
        let number: u32 = number.parse().map_err(io::Error::other)?;
        let (radius, shade) = (5.0 + (number % 7) as f32, 120 + (number * 37 % 130) as u8);
        let image = image::RgbImage::from_fn(32, 32, |x, y| {
            let (across, down) = (x as f32 - 15.5, y as f32 - 15.5);
            let inside = if kind == "disc" {
                across.hypot(down) < radius
            } else {
                across.abs() < 2.0 && down.abs() < radius
            };
            image::Rgb(if inside { [shade, 255 - shade, shade] } else { [(number * 11 % 90) as u8; 3] })
        });
        // The bytes of an image file, as a database or an archive would hold them.
        let mut bytes = Cursor::new(Vec::new());
        image.write_to(&mut bytes, image::ImageFormat::Png).map_err(io::Error::other)?;
        Ok(bytes.into_inner().into())
    }
}

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let mut config = TrainConfig::default();
    config.images.size = 32;
    config.network.width = 0.25;
    config.objective.clustering_mut().num_clusters = Some(8);
    config.objective.whitening_mut().num_components = 16;
    config.training.epochs = 2;
    config.training.batch_size = 32;

    let out = tempfile::tempdir()?;
    let images = Images::from_source(Arc::new(Shapes::new(0..400)));
    let model = Trainer::new(config, images, out.path(), &parse_device("cpu")?)?.run(&mut ())?;

    let others = Arc::new(Images::from_source(Arc::new(Shapes::new(1000..1006))));
    let assigned = model.assign(&others, &mut ())?;
    for (&image, cluster) in assigned.image_indices.iter().zip(&assigned.clusters) {
        println!("{} is in cluster {cluster}", others.name(image));
    }
    Ok(())
}
