//! Writes the report of a run and pictures of what its network sees into `deepcluster-pictures`.
//!
//! `cargo run --release --example look_at_a_run`, about a minute on 2 cores. Expect the sentences of the
//! report's summary, and the files to open.
#![allow(clippy::print_stdout, reason = "an example prints its results")]

use std::path::Path;
use std::sync::Arc;

use deepcluster::data::{SyntheticConfig, write_synthetic_folder};
use deepcluster::prelude::*;
use deepcluster::report::pictures::{
    FilterPictureConfig, TopImageConfig, filter_pictures, kernel_sheet, top_image_sheet, top_images,
};
use deepcluster::report::{ReportConfig, RunContents, write_report};
use deepcluster::trainer::RunDirectory;

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let folder = tempfile::tempdir()?;
    let (images, run) = (folder.path().join("images"), folder.path().join("run"));
    let drawings = SyntheticConfig { num_images: 600, image_size: 32, seed: 1 };
    write_synthetic_folder(&images, &drawings, &mut |_| {})?;
    let device = Device::default();
    let mut config = TrainConfig::default();
    config.images.size = 32;
    config.network.width = 0.25;
    config.objective.clustering_mut().num_clusters = Some(40);
    config.training.epochs = 3;
    config.training.batch_size = 32;
    let images = Images::open(&images)?;
    let model = Trainer::new(config, images.clone(), &run, &device)?.run(&mut ())?;

    let out = Path::new("deepcluster-pictures");
    let contents = RunContents::read(&RunDirectory::open(&run)?)?;
    let report = write_report(&contents, out, &ReportConfig::default(), &mut ())?;
    report.summary.iter().for_each(|sentence| println!("{sentence}"));

    let convnet = model.trained_network().convnet("pictures of filters")?;
    kernel_sheet(convnet.network())?.save(&out.join("kernels.png"))?;
    let (layer, filters) = ("conv3", [0, 1, 2, 3]);
    let ascent = FilterPictureConfig { steps: Some(64), ..FilterPictureConfig::default() };
    let pictures = filter_pictures(&convnet, layer, &filters, &ascent, &mut ())?;
    let (all, config) = (Arc::new(images.clone()), TopImageConfig::default());
    let tops = top_images(&convnet, &all, layer, &filters, config, &mut ())?;
    top_image_sheet(layer, &model.config().input(), &images, &tops, &pictures)?
        .save(&out.join("top-images.png"))?;
    println!("{}, kernels.png and top-images.png beside it", report.page.display());
    Ok(())
}
