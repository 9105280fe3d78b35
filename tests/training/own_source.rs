//! Images of a source of the caller's own: trained, resumed, assigned, and decoded no more often than needed.

use std::fs;
use std::io;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use deepcluster::data::{DataError, ImageBytes, ImageSource, Images, Labels, Location};
use deepcluster::prelude::*;
use deepcluster::report::RunContents;
use deepcluster::trainer::{TrainerError, resume_run_images};

use super::{StopAfter, cpu, draw_images, tiny_config};

/// The files of a folder, read into memory, which counts how often each is read.
#[derive(Debug)]
struct Memory {
    images: Vec<(String, Arc<[u8]>)>,
    num_reads: AtomicUsize,
}

impl Memory {
    fn of(folder: &Images) -> Self {
        let bytes = |index| folder.read(index).unwrap().into_vec().unwrap().into();
        let images = (0..folder.len()).map(|index| (folder.name(index).to_string(), bytes(index)));
        Self { images: images.collect(), num_reads: AtomicUsize::new(0) }
    }

    fn num_reads(&self) -> usize {
        self.num_reads.load(Ordering::Relaxed)
    }
}

impl ImageSource for Memory {
    fn location(&self) -> Location {
        Location::Other("memory:drawings".into())
    }

    fn len(&self) -> usize {
        self.images.len()
    }

    fn name(&self, index: usize) -> &str {
        &self.images[index].0
    }

    fn read(&self, index: usize) -> io::Result<ImageBytes> {
        self.num_reads.fetch_add(1, Ordering::Relaxed);
        let (_, bytes) = self.images.get(index).ok_or(io::ErrorKind::NotFound)?;
        Ok(bytes.clone().into())
    }
}

/// Drawings in a folder and the same in memory, with labels.
fn drawings(folder: &Path) -> (Images, Images, Arc<Memory>) {
    let in_files = draw_images(folder, 96);
    let memory = Arc::new(Memory::of(&in_files));
    let labels: Labels = in_files.labels().unwrap().clone();
    let in_memory = Images::from_source(memory.clone()).with_labels(labels).unwrap();
    (in_files, in_memory, memory)
}

fn tables(out: &Path) -> [Vec<u8>; 2] {
    ["images.csv", "assignments.csv"].map(|name| fs::read(out.join(name)).unwrap())
}

#[test]
fn images_in_memory_give_the_results_of_the_same_files() {
    let folder = tempfile::tempdir().unwrap();
    let (in_files, in_memory, _) = drawings(folder.path());
    let outs = ["files", "memory"].map(|name| folder.path().join(name));
    for (images, out) in [in_files.clone(), in_memory.clone()].into_iter().zip(&outs) {
        let model = Trainer::new(tiny_config(), images, out, &cpu()).unwrap().run(&mut ()).unwrap();
        let assigned = model.assign(&Arc::new(in_memory.clone()), &mut ()).unwrap();
        assert!(assigned.failures.is_empty());
    }
    assert!(tables(&outs[0]) == tables(&outs[1]));
    let metrics = outs.each_ref().map(|out| RunDirectory::open(out).unwrap().metrics().unwrap());
    assert!(metrics[0] == metrics[1]);
    let text = fs::read_to_string(outs[1].join("run.json")).unwrap();
    assert!(text.contains(r#""images": "memory:drawings""#), "{text}");
    let text = fs::read_to_string(outs[0].join("run.json")).unwrap();
    assert!(text.contains(r#""images": "folder:/"#), "{text}");
    // A report has names and clusters, whether or not the images can be opened.
    let contents = RunContents::read(&RunDirectory::open(&outs[1]).unwrap()).unwrap();
    assert_eq!((contents.images.len(), contents.images.name(7)), (96, in_files.name(7)));
    assert!(matches!(contents.images.read(7), Err(DataError::Io { .. })));
}

#[test]
fn a_run_on_an_own_source_is_resumed_with_its_images() {
    let folder = tempfile::tempdir().unwrap();
    let (_, images, _) = drawings(folder.path());
    let (whole, out) = (folder.path().join("whole"), folder.path().join("stopped"));
    Trainer::new(tiny_config(), images.clone(), &whole, &cpu()).unwrap().run(&mut ()).unwrap();
    for steps in [0, 5] {
        let _ = fs::remove_dir_all(&out);
        let mut stop = StopAfter { steps_left: steps, in_training: false };
        let stopped = Trainer::new(tiny_config(), images.clone(), &out, &cpu()).unwrap().run(&mut stop);
        assert!(matches!(stopped.err(), Some(TrainerError::Engine(_))));
        if steps > 0 {
            let error = Trainer::resume(&out, &cpu(), |_| Ok(())).err().unwrap();
            assert!(matches!(&error, TrainerError::ImagesUnknown { .. }), "{error}");
            assert!(error.to_string().contains("memory:drawings"), "{error}");
            let fewer = images.labels().map(|_| {
                let mut fewer = images.clone();
                fewer.exclude(&[(40, "gone".into()), (41, "gone".into())]);
                fewer
            });
            let error = Trainer::<DeepCluster<Network>>::take_up_images(&out, fewer, &cpu(), |_| Ok(()));
            let error = error.err().unwrap();
            assert!(matches!(&error, TrainerError::OtherImages { num_missing: 2, .. }), "{error}");
        }
        let resumed = resume_run_images(&out, Some(images.clone()), &[cpu()], |_| Ok(())).unwrap();
        resumed.run(&mut ()).unwrap();
        assert!(tables(&out) == tables(&whole), "stopped after {steps} steps");
    }
    // Nothing is left to do: no image is needed.
    assert!(Trainer::resume(&out, &cpu(), |_| Ok(())).unwrap().is_finished());
}

#[test]
fn one_broken_image_leaves_the_cache_of_decoded_images_as_it_is() {
    let folder = tempfile::tempdir().unwrap();
    let mut memory = Memory::of(&draw_images(folder.path(), 96));
    memory.images[10].1 = b"no picture".as_slice().into();
    let memory = Arc::new(memory);
    let images = Images::from_source(memory.clone());
    let out = folder.path().join("run");
    Trainer::new(tiny_config(), images, &out, &cpu()).unwrap().run(&mut ()).unwrap();
    assert_eq!(RunDirectory::open(&out).unwrap().skipped().unwrap().len(), 1);
    // Two epochs and the last clustering go over all images five times.
    assert_eq!(memory.num_reads(), 96, "every image is read once");
}
