//! A labelled set of drawings for demonstrations and tests.
//!
//! Each image shows one of twelve kinds of figures or textures. Colours, place, scale, rotation, clutter and
//! noise are random and do not depend on the kind, so that simple statistics of the pixels do not tell it.

mod kinds;
mod render;
mod scene;
mod shapes;
mod textures;
mod variation;

use std::fs;
use std::path::Path;

use image::{ExtendedColorType, ImageFormat, save_buffer_with_format};
use rand::SeedableRng;
use rand_chacha::ChaCha8Rng;

use crate::decode::rgb_image::RgbImage8;
use crate::error::DataError;
use kinds::KINDS;
use render::render;
use scene::Scene;

/// Names of the kinds that [`write_synthetic_folder`] draws, which are the names of its folders.
pub const SYNTHETIC_KINDS: [&str; KINDS.len()] = {
    let mut names = [""; KINDS.len()];
    let mut index = 0;
    while index < names.len() {
        names[index] = KINDS[index].name;
        index += 1;
    }
    names
};

/// Size of a set of drawings.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SyntheticConfig {
    /// Number of images, 1 to 10,000,000. The kinds take turns, so their numbers differ by at most one.
    pub num_images: usize,
    /// Width and height of each image in pixels, 16 to 1024.
    pub image_size: u32,
    /// The same seed gives the same drawings.
    pub seed: u64,
}

impl Default for SyntheticConfig {
    /// 3000 images of 64 x 64 pixels.
    fn default() -> Self {
        Self { num_images: 3000, image_size: 64, seed: 0 }
    }
}

impl SyntheticConfig {
    /// Checks every field.
    ///
    /// # Errors
    /// [`DataError::InvalidConfig`] with the name of the first field that is out of range.
    pub fn validate(&self) -> Result<(), DataError> {
        if !(1..=10_000_000).contains(&self.num_images) {
            return Err(DataError::invalid_config("num_images", self.num_images, "1 to 10000000"));
        }
        if !(16..=1024).contains(&self.image_size) {
            return Err(DataError::invalid_config("image_size", self.image_size, "16 to 1024"));
        }
        Ok(())
    }
}

/// Draws a set of images into `folder/<kind>/<number>.png`; the kinds are [`SYNTHETIC_KINDS`].
///
/// `folder` is created if it does not exist. `progress` is called with the number of images written after
/// each. Every file gets its name once it is complete; after an error those written so far stay.
///
/// # Errors
/// [`DataError::InvalidConfig`], [`DataError::FolderNotEmpty`] and [`DataError::Io`].
pub fn write_synthetic_folder(
    folder: &Path,
    config: &SyntheticConfig,
    progress: &mut dyn FnMut(usize),
) -> Result<(), DataError> {
    config.validate()?;
    fs::create_dir_all(folder).map_err(|source| DataError::io("create", folder, source))?;
    let mut entries = fs::read_dir(folder).map_err(|source| DataError::io("read", folder, source))?;
    if entries.next().is_some() {
        return Err(DataError::FolderNotEmpty { path: folder.into() });
    }
    let num_digits = (config.num_images - 1).to_string().len();
    for number in 0..config.num_images {
        let kind_folder = folder.join(SYNTHETIC_KINDS[number % SYNTHETIC_KINDS.len()]);
        if number < SYNTHETIC_KINDS.len() {
            fs::create_dir(&kind_folder).map_err(|source| DataError::io("create", &kind_folder, source))?;
        }
        let image = draw(number, config);
        // The name of the unfinished file is hidden, so that no scan takes it for an image.
        let unfinished = kind_folder.join(format!(".{number:0num_digits$}.png.unfinished"));
        write_png(&image, &unfinished, &kind_folder.join(format!("{number:0num_digits$}.png")))?;
        progress(number + 1);
    }
    Ok(())
}

/// Draws image `number` of a set. Each image has a random stream of its own, so it does not depend on the
/// others.
fn draw(number: usize, config: &SyntheticConfig) -> RgbImage8 {
    let mut generator = ChaCha8Rng::seed_from_u64(config.seed);
    generator.set_stream(number as u64);
    let scene = Scene::random(&KINDS[number % KINDS.len()], &mut generator);
    render(&scene, config.image_size, &mut generator)
}

fn write_png(image: &RgbImage8, unfinished: &Path, path: &Path) -> Result<(), DataError> {
    let RgbImage8 { width, height, pixels } = image;
    let written = save_buffer_with_format(
        unfinished,
        pixels,
        *width,
        *height,
        ExtendedColorType::Rgb8,
        ImageFormat::Png,
    );
    let finished = written
        .map_err(|error| match error {
            image::ImageError::IoError(source) => source,
            other => std::io::Error::other(other),
        })
        .and_then(|()| fs::rename(unfinished, path));
    finished.map_err(|source| {
        // Best effort: the error that matters is the first one.
        let _ = fs::remove_file(unfinished);
        DataError::io("write", path, source)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    const SMALL: SyntheticConfig = SyntheticConfig { num_images: 26, image_size: 24, seed: 3 };

    #[test]
    fn kinds_take_turns_and_files_are_complete() {
        let folder = tempfile::tempdir().unwrap();
        let mut calls = Vec::new();
        write_synthetic_folder(&folder.path().join("new"), &SMALL, &mut |number| calls.push(number)).unwrap();
        assert_eq!(calls, (1..=26).collect::<Vec<_>>());
        let mut num_files = Vec::new();
        for name in SYNTHETIC_KINDS {
            let entries = fs::read_dir(folder.path().join("new").join(name)).unwrap();
            let paths: Vec<_> = entries.map(|entry| entry.unwrap().path()).collect();
            assert!(paths.iter().all(|path| path.extension().is_some_and(|extension| extension == "png")));
            num_files.push(paths.len());
        }
        assert_eq!(num_files, [3, 3, 2, 2, 2, 2, 2, 2, 2, 2, 2, 2]);
        let path = folder.path().join("new").join(SYNTHETIC_KINDS[1]).join("13.png");
        let read = crate::decode_image(&path, 1 << 20).unwrap();
        assert_eq!(read, draw(13, &SMALL));
    }

    #[test]
    fn the_seed_decides_the_drawings() {
        assert_eq!(draw(5, &SMALL), draw(5, &SMALL));
        assert_ne!(draw(5, &SMALL), draw(5, &SyntheticConfig { seed: 4, ..SMALL }));
        assert_ne!(draw(5, &SMALL), draw(17, &SMALL));
    }

    #[test]
    fn colours_do_not_tell_the_kind() {
        let config = SyntheticConfig { num_images: 12 * 150, ..SMALL };
        let mut means = [0.0_f64; KINDS.len()];
        for number in 0..config.num_images {
            let pixels = draw(number, &config).pixels;
            let sum: f64 = pixels.iter().copied().map(f64::from).sum();
            means[number % KINDS.len()] += sum / pixels.len() as f64 / 150.0;
        }
        // The mean of one image varies by about 40 of 255, that of 150 by 3.3.
        let overall = means.iter().sum::<f64>() / means.len() as f64;
        assert!(means.iter().all(|mean| (mean - overall).abs() < 15.0), "{means:?}");
    }

    #[test]
    fn a_folder_with_content_is_left_alone() {
        let folder = tempfile::tempdir().unwrap();
        fs::write(folder.path().join("notes.txt"), "mine").unwrap();
        let error = write_synthetic_folder(folder.path(), &SMALL, &mut |_| {}).unwrap_err();
        assert!(matches!(error, DataError::FolderNotEmpty { .. }), "{error}");
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 1);
    }

    #[test]
    fn every_field_out_of_range_is_named() {
        let cases = [
            ("num_images", SyntheticConfig { num_images: 0, ..SMALL }),
            ("image_size", SyntheticConfig { image_size: 15, ..SMALL }),
            ("image_size", SyntheticConfig { image_size: 1025, ..SMALL }),
        ];
        SyntheticConfig::default().validate().unwrap();
        for (name, config) in cases {
            let error = config.validate().unwrap_err();
            assert!(
                matches!(error, DataError::InvalidConfig { field, .. } if field == name),
                "{name}: {error}"
            );
        }
    }
}
