//! Batches: their order, their pixels, and how they end.
#![allow(clippy::unwrap_used, clippy::panic)]

use std::fs;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use deepcluster_data::{
    Batches, DEFAULT_MAX_PIXELS, DiskCacheConfig, ImageBatch, ImageBytes, ImageSource, Images, Loader,
    LoaderConfig, Location, Normalization, Sample, SyntheticConfig, Transform, decode_image, resize,
    write_synthetic_folder,
};
use image::{Rgb, RgbImage};
use tempfile::TempDir;

const SIZE: u32 = 20;
const NUM_IMAGES: usize = 36;

fn drawings() -> (TempDir, Arc<Images>) {
    let folder = tempfile::tempdir().unwrap();
    let config = SyntheticConfig { num_images: NUM_IMAGES, image_size: 28, seed: 1 };
    write_synthetic_folder(folder.path(), &config, &mut |_| {}).unwrap();
    let images = Arc::new(Images::open(folder.path()).unwrap());
    (folder, images)
}

fn random_crop() -> Transform {
    Transform::RandomCrop {
        size: SIZE,
        scale: (0.2, 1.0),
        ratio: (0.75, 1.33),
        flip_probability: 0.5,
        normalization: Normalization::default(),
    }
}

/// Every image of the folder in another order, twice, in batches of 7.
fn plan() -> Vec<Vec<Sample>> {
    let sample = |position: usize| Sample {
        image_index: position * 11 % NUM_IMAGES,
        augmentation_seed: position as u64,
        crop: 0,
    };
    let samples: Vec<Sample> = (0..2 * NUM_IMAGES).map(sample).collect();
    samples.chunks(7).map(<[Sample]>::to_vec).collect()
}

fn start(
    images: &Arc<Images>,
    config: LoaderConfig,
    transform: Transform,
    plan: Vec<Vec<Sample>>,
) -> Batches {
    Loader::new(images.clone(), config).unwrap().batches(transform, plan)
}

fn workers(num_workers: usize) -> LoaderConfig {
    LoaderConfig { num_workers, ..LoaderConfig::default() }
}

#[test]
fn batches_come_in_the_order_of_the_plan_with_the_pixels_of_the_transform() {
    let (_folder, images) = drawings();
    let batches = start(&images, workers(3), random_crop(), plan());
    assert_eq!(batches.len(), plan().len());
    let mut num_batches = 0;
    for (batch, samples) in batches.zip(plan()) {
        let expected: Vec<usize> = samples.iter().map(|sample| sample.image_index).collect();
        assert_eq!(batch.image_indices, expected);
        assert_eq!((batch.size, batch.failures.len()), (SIZE, 0));
        for (pixels, sample) in batch.pixels().chunks_exact(random_crop().num_values()).zip(samples) {
            let image = decode_image(&images.file(sample.image_index).unwrap(), DEFAULT_MAX_PIXELS).unwrap();
            let mut expected = vec![0.0; pixels.len()];
            random_crop().apply(&image, sample, &mut expected).unwrap();
            assert_eq!(pixels, expected);
        }
        num_batches += 1;
    }
    assert_eq!(num_batches, plan().len());
}

#[test]
fn workers_cache_and_prefetch_change_no_pixel() {
    let (_folder, images) = drawings();
    let reference: Vec<ImageBatch> = start(&images, workers(1), random_crop(), plan()).collect();
    for num_workers in [1, 2, 5] {
        // None, about ten images of 2352 bytes, all of them.
        for cache_bytes in [0, 24_000, 1 << 30] {
            for prefetch_batches in [1, 3] {
                let config = LoaderConfig { num_workers, cache_bytes, prefetch_batches, ..workers(1) };
                let loader = Loader::new(images.clone(), config.clone()).unwrap();
                for pass in 0..2 {
                    let batches: Vec<ImageBatch> = loader.batches(random_crop(), plan()).collect();
                    assert!(batches == reference, "{config:?}, pass {pass}");
                }
            }
        }
    }
}

#[test]
fn a_cache_on_disk_changes_no_pixel_and_outlives_the_loader() {
    let (_folder, images) = drawings();
    let kept = tempfile::tempdir().unwrap();
    let reference: Vec<ImageBatch> = start(&images, workers(1), random_crop(), plan()).collect();
    for max_bytes in [0, 40_000, 1 << 30] {
        for cache_bytes in [0, 24_000] {
            for pass in 0..2 {
                let disk_cache = Some(DiskCacheConfig { folder: kept.path().join("images"), max_bytes });
                let config = LoaderConfig { disk_cache, cache_bytes, ..workers(2) };
                let batches: Vec<ImageBatch> = start(&images, config, random_crop(), plan()).collect();
                assert!(batches == reference, "{max_bytes} bytes, pass {pass}");
                let files = fs::read_dir(kept.path().join("images")).unwrap().flatten();
                let num_bytes: u64 = files.map(|file| file.metadata().unwrap().len()).sum();
                assert!(num_bytes <= max_bytes, "{num_bytes} of {max_bytes} bytes");
                assert_eq!(num_bytes > 0, max_bytes > 0);
            }
        }
    }
    // All of them lie there now; an image that has changed since is read anew.
    fs::write(images.file(0).unwrap(), "no image").unwrap();
    let disk_cache = Some(DiskCacheConfig { folder: kept.path().join("images"), max_bytes: 1 << 30 });
    let config = LoaderConfig { disk_cache, cache_bytes: 0, ..workers(2) };
    let failures: usize =
        start(&images, config, random_crop(), plan()).map(|batch| batch.failures.len()).sum();
    assert_eq!(failures, 2);
}

#[test]
fn shrunk_images_are_those_of_a_resized_folder() {
    let (_folder, images) = drawings();
    let kept = tempfile::tempdir().unwrap();
    let disk_cache = Some(DiskCacheConfig { folder: kept.path().into(), max_bytes: 1 << 30 });
    let plain = LoaderConfig { shrink_to: Some(14), cache_bytes: 0, ..workers(2) };
    let transform = Transform::Center { resize: 14, size: 12, normalization: Normalization::default() };
    for config in [plain.clone(), LoaderConfig { disk_cache, ..plain.clone() }] {
        for _ in 0..2 {
            for batch in start(&images, config.clone(), transform, plan()) {
                let pixels = batch.pixels();
                let pixels = pixels.chunks_exact(transform.num_values());
                for (pixels, &index) in pixels.zip(&batch.image_indices) {
                    let image = decode_image(&images.file(index).unwrap(), DEFAULT_MAX_PIXELS).unwrap();
                    let mut expected = vec![0.0; pixels.len()];
                    transform
                        .apply(
                            &resize(&image, 14, 14).unwrap(),
                            Sample { image_index: 0, augmentation_seed: 0, crop: 0 },
                            &mut expected,
                        )
                        .unwrap();
                    assert!(pixels == expected);
                }
            }
        }
    }
    // Smaller ones stay as they are.
    let config = LoaderConfig { shrink_to: Some(28), ..plain };
    let large = start(&images, config, random_crop(), plan());
    assert!(large.eq(start(&images, workers(2), random_crop(), plan())));
}

#[test]
fn every_transform_shows_the_same_pixels_whether_images_are_kept_or_not() {
    let folder = tempfile::tempdir().unwrap();
    for number in 0..8_u32 {
        let (width, height) = (60 + 13 * number, 131 - 11 * number);
        let pixel = |x, y| [(x * 3 + number) as u8, (y * 5) as u8, (x * y % 251) as u8];
        let image = RgbImage::from_fn(width, height, |x, y| Rgb(pixel(x, y)));
        image.save(folder.path().join(format!("{number}.jpg"))).unwrap();
    }
    let images = Arc::new(Images::open(folder.path()).unwrap());
    let sample = |number: usize| Sample {
        image_index: number % 8,
        augmentation_seed: number as u64,
        crop: (number % 10) as u8,
    };
    let plan: Vec<Vec<Sample>> = vec![(0..80).map(sample).collect()];
    let (normalization, flip_probability) = (Normalization::default(), 0.5);
    let transforms = [
        random_crop(),
        Transform::Center { resize: 26, size: 18, normalization },
        Transform::Center { resize: 300, size: 224, normalization },
        Transform::RandomPlace { resize: 40, size: 24, flip_probability, normalization },
        Transform::OneOfTen { resize: 40, size: 24, normalization },
    ];
    for transform in transforms {
        let [decoded, kept] = [0, 1 << 30].map(|cache_bytes| {
            let config = LoaderConfig { cache_bytes, ..workers(2) };
            start(&images, config, transform, plan.clone()).next().unwrap()
        });
        assert_eq!(decoded.image_indices.len(), 80);
        assert!(decoded == kept, "{transform:?}");
        for (pixels, sample) in decoded.pixels().chunks_exact(transform.num_values()).zip(&plan[0]) {
            let image = decode_image(&images.file(sample.image_index).unwrap(), DEFAULT_MAX_PIXELS).unwrap();
            let mut expected = vec![0.0; pixels.len()];
            transform.apply(&image, *sample, &mut expected).unwrap();
            assert!(pixels == expected, "{transform:?}, {sample:?}");
        }
    }
}

#[test]
fn batches_outlive_their_loader_and_cached_images_their_files() {
    let (folder, images) = drawings();
    let loader = Loader::new(images, workers(2)).unwrap();
    let reference: Vec<ImageBatch> = loader.batches(random_crop(), plan()).collect();
    drop(folder);
    let batches = loader.batches(random_crop(), plan());
    drop(loader);
    assert!(batches.eq(reference));
}

#[test]
fn what_cannot_be_read_is_a_failure_of_that_image_alone() {
    let (folder, images) = drawings();
    fs::write(images.file(1).unwrap(), "no image").unwrap();
    fs::remove_file(images.file(3).unwrap()).unwrap();
    let samples =
        [0, 1, 2, 3, 4, 999].map(|image_index| Sample { image_index, augmentation_seed: 0, crop: 0 });
    let batches = start(&images, workers(2), random_crop(), vec![samples.to_vec(), samples[3..4].to_vec()]);
    let batches: Vec<ImageBatch> = batches.collect();
    assert_eq!(batches[0].image_indices, [0, 2, 4]);
    assert_eq!(batches[0].pixels().len(), 3 * random_crop().num_values());
    let failed: Vec<usize> = batches[0].failures.iter().map(|(index, _)| *index).collect();
    assert_eq!(failed, [1, 3, 999]);
    for (_, reason) in &batches[0].failures {
        assert!(!reason.is_empty() && !reason.contains(&*folder.path().to_string_lossy()), "{reason}");
    }
    assert!(batches[0].failures[2].1.contains("36 images"), "{}", batches[0].failures[2].1);
    assert_eq!((batches[1].pixels().len(), batches[1].failures.len()), (0, 1));
}

#[test]
fn images_of_too_many_pixels_are_failures() {
    let (_folder, images) = drawings();
    let config = LoaderConfig { max_pixels: 28 * 28 - 1, ..workers(1) };
    let mut batches = start(&images, config, random_crop(), plan());
    let failures = batches.next().unwrap().failures;
    assert_eq!(failures.len(), 7);
    assert_eq!(failures[0].1, "28 x 28 pixels are more than the 783 allowed by max_pixels");
}

#[test]
fn an_invalid_transform_fails_every_image_with_its_reason() {
    let (_folder, images) = drawings();
    let normalization = Normalization::default();
    for transform in [
        Transform::Center { resize: 10, size: 20, normalization },
        Transform::Center { resize: u32::MAX, size: u32::MAX, normalization },
    ] {
        let batches: Vec<ImageBatch> = start(&images, workers(2), transform, plan()).collect();
        assert_eq!(batches.len(), plan().len());
        for batch in batches {
            assert!(batch.pixels().is_empty() && batch.image_indices.is_empty());
            assert!(batch.failures.iter().all(|(_, reason)| reason.contains("size")), "{:?}", batch.failures);
        }
    }
}

#[test]
fn empty_plans_and_empty_batches_end() {
    let (_folder, images) = drawings();
    assert_eq!(start(&images, workers(2), random_crop(), Vec::new()).count(), 0);
    let one = vec![Sample { image_index: 0, augmentation_seed: 0, crop: 0 }];
    let plan = vec![Vec::new(), one.clone(), Vec::new(), Vec::new(), one, Vec::new()];
    for prefetch_batches in [1, 2, 9] {
        let config = LoaderConfig { prefetch_batches, ..workers(2) };
        let mut batches = start(&images, config, random_crop(), plan.clone());
        let sizes: Vec<usize> = batches.by_ref().map(|batch| batch.image_indices.len()).collect();
        assert_eq!(sizes, [0, 1, 0, 0, 1, 0]);
        assert!(batches.next().is_none());
    }
    assert_eq!(start(&images, workers(2), random_crop(), vec![Vec::new(); 5]).count(), 5);
}

#[test]
fn dropping_early_stops_the_threads() {
    let (_folder, images) = drawings();
    let long_plan: Vec<Vec<Sample>> = (0..2000).flat_map(|_| plan()).collect();
    let begin = Instant::now();
    for num_taken in [0, 1, 5] {
        let mut batches = start(&images, workers(3), random_crop(), long_plan.clone());
        assert_eq!(batches.by_ref().take(num_taken).count(), num_taken);
        drop(batches);
    }
    assert!(begin.elapsed() < Duration::from_secs(10), "{:?}", begin.elapsed());
    // The threads shared the folder; none of them is left.
    assert_eq!(Arc::strong_count(&images), 1);
}

#[test]
fn threads_read_no_further_ahead_than_allowed() {
    let folder = tempfile::tempdir().unwrap();
    let config = SyntheticConfig { num_images: 12, image_size: 16, seed: 1 };
    write_synthetic_folder(folder.path(), &config, &mut |_| {}).unwrap();
    let found = Images::open(folder.path()).unwrap();
    let paths: Vec<PathBuf> = (0..12).map(|index| found.file(index).unwrap()).collect();
    let images = Arc::new(Images::from_paths(PathBuf::new(), paths.clone(), None));
    let plan =
        (0..12).map(|image_index| vec![Sample { image_index, augmentation_seed: 0, crop: 0 }]).collect();
    let config = LoaderConfig { prefetch_batches: 3, ..workers(4) };
    let mut batches = start(&images, config, random_crop(), plan);
    assert!(batches.next().unwrap().failures.is_empty());
    // Time for threads that would not stop at the bound.
    thread::sleep(Duration::from_millis(300));
    for path in &paths {
        fs::remove_file(path).unwrap();
    }
    let num_read = batches.filter(|batch| batch.failures.is_empty()).count();
    assert_eq!(num_read, 3);
}

/// A source that counts how often it is read.
#[derive(Debug)]
struct Counting {
    images: Images,
    num_reads: AtomicUsize,
}

impl ImageSource for Counting {
    fn location(&self) -> Location {
        Location::Other("memory:counting".into())
    }

    fn len(&self) -> usize {
        self.images.len()
    }

    fn name(&self, index: usize) -> &str {
        self.images.name(index)
    }

    fn read(&self, index: usize) -> std::io::Result<ImageBytes> {
        self.num_reads.fetch_add(1, Ordering::Relaxed);
        self.images.read(index).map_err(std::io::Error::other)
    }
}

#[test]
fn decoded_images_stay_when_unreadable_ones_are_excluded() {
    let (_folder, found) = drawings();
    fs::write(found.file(4).unwrap(), "no image").unwrap();
    let source = Arc::new(Counting { images: (*found).clone(), num_reads: AtomicUsize::new(0) });
    let mut images = Images::from_source(source.clone());
    let mut loader = Loader::new(Arc::new(images.clone()), LoaderConfig::default()).unwrap();
    let transform = Transform::Center { resize: 32, size: 32, normalization: Normalization::default() };
    let read = |loader: &Loader| {
        let samples = (0..loader.images().len()).map(|image_index| Sample {
            image_index,
            augmentation_seed: 0,
            crop: 0,
        });
        loader.batches(transform, vec![samples.collect()]).next().unwrap()
    };
    let first = read(&loader);
    assert_eq!((first.failures.len(), source.num_reads.load(Ordering::Relaxed)), (1, NUM_IMAGES));
    images.exclude(&first.failures);
    loader.set_images(Arc::new(images));
    let second = read(&loader);
    assert_eq!(
        source.num_reads.load(Ordering::Relaxed),
        NUM_IMAGES,
        "every image that is left was decoded before"
    );
    assert_eq!((second.image_indices.len(), second.pixels()), (NUM_IMAGES - 1, first.pixels()));
}
