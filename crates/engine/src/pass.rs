//! One pass of images through a network that does not change.

use std::sync::Arc;

use burn::tensor::{Device, Tensor};
use deepcluster_data::{
    DataError, ImageBatch, Images, Loader, LoaderConfig, Normalization, Sample, Transform,
};
use deepcluster_models::Input;

use crate::error::EngineError;
use crate::events::{EpochOf, Event, Observer, Phase};
use crate::tensors::images_tensor;

/// One pass of images through a network that does not change.
pub struct ImagePass<'a> {
    /// Source of the images.
    pub loader: &'a Loader,
    /// The crop of each.
    pub transform: Transform,
    /// The images, in their order.
    pub samples: Vec<Sample>,
    /// Images per batch, at least 1.
    pub batch_size: usize,
    /// Device of the tensors.
    pub device: &'a Device,
    /// The phase to report.
    pub phase: Phase,
    /// The epoch to report, if there is one.
    pub epoch: Option<EpochOf>,
}

impl<'a> ImagePass<'a> {
    /// A pass over these images, for their features.
    pub fn new(
        loader: &'a Loader,
        transform: Transform,
        image_indices: &[usize],
        batch_size: usize,
        device: &'a Device,
    ) -> Self {
        let sample = |&image_index: &usize| Sample { image_index, augmentation_seed: 0, crop: 0 };
        Self {
            loader,
            transform,
            samples: image_indices.iter().map(sample).collect(),
            batch_size,
            device,
            phase: Phase::images("features"),
            epoch: None,
        }
    }

    /// Hands the samples that can be read to `each`, batch by batch in their order: `[batch, 3, size, size]`
    /// and the image of each row. Progress is counted in samples. Returns the images that cannot be read,
    /// with reasons; `None` where `observer` asks to stop.
    ///
    /// # Errors
    /// Those of `each`.
    pub fn run<E: From<EngineError>>(
        self,
        observer: &mut dyn Observer,
        mut each: impl FnMut(Tensor<4>, &[usize]) -> Result<(), E>,
    ) -> Result<Option<Vec<(usize, String)>>, E> {
        let device = self.device;
        self.run_batches(observer, |batch| each(images_tensor(batch, device), &batch.image_indices))
    }

    /// As [`ImagePass::run`], with the batches as they are on the host.
    pub(crate) fn run_batches<E: From<EngineError>>(
        self,
        observer: &mut dyn Observer,
        mut each: impl FnMut(&ImageBatch) -> Result<(), E>,
    ) -> Result<Option<Vec<(usize, String)>>, E> {
        let total = self.samples.len();
        observer.event(&Event::Started { phase: self.phase, epoch: self.epoch, total });
        let plan = self.samples.chunks(self.batch_size).map(<[Sample]>::to_vec).collect();
        let (mut done, mut all_failures) = (0, Vec::new());
        for mut batch in self.loader.batches(self.transform, plan) {
            if observer.should_stop() {
                return Ok(None);
            }
            done += batch.image_indices.len() + batch.failures.len();
            all_failures.append(&mut batch.failures);
            if !batch.image_indices.is_empty() {
                each(&batch)?;
            }
            observer.event(&Event::Progress { done, loss: None });
        }
        Ok(Some(all_failures))
    }
}

/// The central crops of images as a network takes them in, and the work of reading them.
///
/// ```no_run
/// use std::sync::Arc;
///
/// use deepcluster_data::{Images, LoaderConfig};
/// use deepcluster_engine::{ImageReading, parse_device};
/// use deepcluster_models::Input;
///
/// # fn main() -> Result<(), deepcluster_engine::EngineError> {
/// let input = Input::imagenet(224, 256);
/// let reading = ImageReading { input, loader: LoaderConfig::default(), batch_size: 64 };
/// let (loader, device) = (reading.loader(Arc::new(Images::open("photos")?))?, parse_device("auto")?);
/// let all: Vec<usize> = (0..loader.images().len()).collect();
/// reading.pass(&loader, &all, &device).run(&mut (), |images, _| {
///     println!("{:?}", images.dims());
///     Ok::<(), deepcluster_engine::EngineError>(())
/// })?;
/// # Ok(())
/// # }
/// ```
#[derive(Debug, Clone, PartialEq)]
pub struct ImageReading {
    /// The square that the network sees.
    pub input: Input,
    /// Threads, caches and limits.
    pub loader: LoaderConfig,
    /// Images at a time, at least 1.
    pub batch_size: usize,
}

impl ImageReading {
    /// A loader of `images`.
    ///
    /// # Errors
    /// [`DataError::InvalidConfig`] for settings of the loader that are out of range.
    pub fn loader(&self, images: Arc<Images>) -> Result<Loader, DataError> {
        Loader::new(images, self.loader.clone())
    }

    /// How values are normalised.
    pub fn normalization(&self) -> Normalization {
        Normalization { mean: self.input.mean, std: self.input.std }
    }

    /// The central crop.
    pub fn transform(&self) -> Transform {
        let Input { side, resize, .. } = self.input;
        Transform::Center { resize, size: side as u32, normalization: self.normalization() }
    }

    /// A pass over some images of `loader`, for their features.
    pub fn pass<'a>(&self, loader: &'a Loader, image_indices: &[usize], device: &'a Device) -> ImagePass<'a> {
        ImagePass::new(loader, self.transform(), image_indices, self.batch_size, device)
    }
}
