//! For each filter an image that it responds to, found by gradient ascent (Erhan et al., 2009; figure 4 of
//! the paper).

mod cosine_image;
mod modern;
mod original;

use crate::sheets::{ContactSheet, Rgb, RgbImage, SheetCell};
use burn::tensor::activation::leaky_relu;
use burn::tensor::{Device, Tensor, TensorData};
use deepcluster_engine::{EngineError, Event, Observer, Phase, host_values};
use deepcluster_models::{Backbone, ConvNet, DenseBackbone, Input};
use deepcluster_trainer::TrainedNetwork;
use rand::SeedableRng;
use rand_chacha::ChaCha8Rng;
use rand_distr::{Distribution, StandardNormal};
use serde::Serialize;

use crate::error::ReportError;
use crate::pictures::filter_choice::layer_with_filters;

/// Method of gradient ascent.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum AscentMethod {
    /// The picture is a sum of cosine waves, the fine ones held back, and is moved and scaled at random in
    /// every step, so that only patterns remain that the filter responds to anywhere and in any size (Olah,
    /// Mordvintsev & Schubert, *Feature Visualization*, Distill 2017, "Regularization"). 256 steps.
    Modern,
    /// That of the original code: noise of 20 around 128, steps of length 3 along the gradient of a
    /// cross-entropy over the filters, weight decay 1e-5, a Gaussian blur of 0.3 pixels every 5 steps. 1,000
    /// steps.
    Original,
}

/// Settings of [`filter_pictures`].
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct FilterPictureConfig {
    /// Method of gradient ascent.
    pub method: AscentMethod,
    /// Side of a picture in pixels, at least 8; `None` is 128, or 224 by the original method, and for
    /// networks of smaller images twice their side. Large ones show a pattern of the filter more often, not
    /// in more detail.
    pub size: Option<usize>,
    /// Steps, at least 1; `None` is the method's number.
    pub steps: Option<usize>,
    /// Length of a step, above 0; `None` is the method's, 0.05 of Adam or 3. The original authors use 30 for
    /// conv5.
    pub step_size: Option<f64>,
    /// Pictures found at once, at least 1; no picture depends on it but by rounding.
    pub batch_size: usize,
    /// Seed of the noise pictures begin with and of their moves.
    pub seed: u64,
}

impl Default for FilterPictureConfig {
    fn default() -> Self {
        Self {
            method: AscentMethod::Modern,
            size: None,
            steps: None,
            step_size: None,
            batch_size: 8,
            seed: 31,
        }
    }
}

/// An image that a filter responds to.
#[derive(Debug, Clone, PartialEq)]
pub struct FilterPicture {
    /// Number of the filter, from 0.
    pub filter: usize,
    /// The picture.
    pub picture: RgbImage,
    /// Mean of the filter's map after the ReLU, on the picture; the score of top images by the mean.
    pub response: f32,
    /// Its response to the noise that the ascent began with.
    pub noise_response: f32,
}

impl FilterPictureConfig {
    /// Checks every field.
    ///
    /// # Errors
    /// [`ReportError::InvalidConfig`] naming the first that is out of range.
    pub fn validate(&self) -> Result<(), ReportError> {
        let invalid = |field, value: String, allowed: &str| {
            Err(ReportError::InvalidConfig { field, value, allowed: allowed.to_string() })
        };
        if let Some(size) = self.size.filter(|size| !(8..=4096).contains(size)) {
            return invalid("size", size.to_string(), "8 to 4096");
        }
        if self.steps == Some(0) {
            return invalid("steps", "0".to_string(), "at least 1");
        }
        if let Some(step_size) = self.step_size.filter(|size| !(size.is_finite() && *size > 0.0)) {
            return invalid("step_size", step_size.to_string(), "a number above 0");
        }
        if self.batch_size == 0 {
            return invalid("batch_size", "0".to_string(), "at least 1");
        }
        Ok(())
    }

    fn num_steps(&self) -> usize {
        self.steps.unwrap_or(match self.method {
            AscentMethod::Modern => 256,
            AscentMethod::Original => 1000,
        })
    }

    fn picture_size(&self, input_size: usize) -> usize {
        let most = match self.method {
            AscentMethod::Modern => 128,
            AscentMethod::Original => 224,
        };
        self.size.unwrap_or_else(|| most.min(2 * input_size))
    }
}

/// Gradient ascent for some filters of a layer.
struct Ascent<'a> {
    /// On a device with autodiff; no weight of it is tracked.
    network: &'a ConvNet,
    /// With autodiff.
    device: &'a Device,
    input: &'a Input,
    config: &'a FilterPictureConfig,
    /// Index of the convolution.
    layer: usize,
    filters: &'a [usize],
    /// Side of the pictures.
    size: usize,
}

/// Reports a step; an error ends the ascent.
type OnStep<'a> = dyn FnMut() -> Result<(), ReportError> + 'a;

impl Ascent<'_> {
    /// Mean response of each filter of the layer to normalised images, `[batch, filters]`, after a ReLU that
    /// lets through the share `slope` of values below 0.
    fn mean_responses(&self, images: Tensor<4>, slope: f64) -> Tensor<2> {
        let maps = leaky_relu(self.network.forward_filters(images, self.layer), slope);
        let maps: Tensor<3> = maps.flatten(2, 3); // [batch, filters, h * w]
        maps.mean_dim(2).squeeze_dim(2)
    }

    /// 1 at the filter of each picture, `[batch, filters]`.
    fn wanted(&self) -> Tensor<2> {
        let num_filters = self.network.num_filters(self.layer);
        let mut values = vec![0.0_f32; self.filters.len() * num_filters];
        for (row, &filter) in self.filters.iter().enumerate() {
            values[row * num_filters + filter] = 1.0;
        }
        Tensor::from_data(TensorData::new(values, [self.filters.len(), num_filters]), self.device)
    }

    /// Noise of mean 0 and deviation 1, `[batch, planes, size, size]`; that of a filter depends on the seed
    /// and its number alone.
    fn noise(&self, planes: usize) -> Tensor<4> {
        let num_values = planes * self.size * self.size;
        let mut values: Vec<f32> = Vec::with_capacity(self.filters.len() * num_values);
        for &filter in self.filters {
            let mut generator = ChaCha8Rng::seed_from_u64(self.config.seed);
            generator.set_stream(1 + filter as u64);
            values.extend((0..num_values).map(|_| -> f32 { StandardNormal.sample(&mut generator) }));
        }
        let shape = [self.filters.len(), planes, self.size, self.size];
        Tensor::from_data(TensorData::new(values, shape), self.device)
    }

    /// Colours in 0..=1, `[batch, 3, size, size]`, as the network takes them.
    fn normalized(&self, colours: Tensor<4>) -> Tensor<4> {
        let input = self.input;
        let per_channel =
            |values: [f32; 3]| Tensor::from_data(TensorData::new(values.to_vec(), [1, 3, 1, 1]), self.device);
        (colours - per_channel(input.mean)) / per_channel(input.std)
    }

    /// The response of each picture's own filter to colours in 0..=1.
    fn responses(&self, colours: Tensor<4>) -> Result<Vec<f32>, ReportError> {
        let responses = self.mean_responses(self.normalized(colours), 0.0) * self.wanted();
        Ok(host_values(responses.sum_dim(1).inner(), "while measuring pictures")?)
    }
}

fn no_gradient() -> ReportError {
    EngineError::device("during gradient ascent", "the picture has no gradient".to_string()).into()
}

/// Finds a picture for each of `filters` of the layer `layer` of a network.
///
/// # Errors
/// [`ReportError::InvalidConfig`], [`ReportError::UnknownLayer`], [`ReportError::NoSuchFilter`],
/// [`ReportError::ImagesTooSmall`], [`ReportError::Stopped`] on request of `observer`,
/// [`ReportError::Trainer`] where the device fails.
pub fn filter_pictures(
    trained: &TrainedNetwork<ConvNet>,
    layer: &str,
    filters: &[usize],
    config: &FilterPictureConfig,
    observer: &mut dyn Observer,
) -> Result<Vec<FilterPicture>, ReportError> {
    config.validate()?;
    let (network, input) = (trained.network(), trained.reading().input);
    let index = layer_with_filters(network, layer, filters)?;
    let size = config.picture_size(network.input().side);
    if trained.config().network()?.output_side(size).is_none() {
        return Err(ReportError::ImagesTooSmall { size, layer: layer.to_string() });
    }
    let network = network.clone().for_fine_tuning(|_| false);
    let device = trained.device().clone().autodiff();
    let num_steps = config.num_steps();
    let total = num_steps * filters.len().div_ceil(config.batch_size);
    observer.event(&Event::Started { phase: Phase::steps("pictures"), epoch: None, total });
    let mut done = 0;
    let mut pictures = Vec::with_capacity(filters.len());
    for filters in filters.chunks(config.batch_size) {
        let ascent =
            Ascent { network: &network, device: &device, input: &input, config, layer: index, filters, size };
        let mut on_step = || {
            done += 1;
            observer.event(&Event::Progress { done, loss: None });
            if observer.should_stop() { Err(ReportError::Stopped) } else { Ok(()) }
        };
        let (noise, found) = match config.method {
            AscentMethod::Modern => modern::ascend(&ascent, num_steps, &mut on_step)?,
            AscentMethod::Original => original::ascend(&ascent, num_steps, &mut on_step)?,
        };
        let (before, after) = (ascent.responses(noise)?, ascent.responses(found.clone())?);
        let values = host_values(found.inner(), "while reading pictures")?;
        for (row, &filter) in filters.iter().enumerate() {
            let values = &values[row * 3 * size * size..(row + 1) * 3 * size * size];
            let picture = as_picture(values, size);
            pictures.push(FilterPicture {
                filter,
                picture,
                response: after[row],
                noise_response: before[row],
            });
        }
    }
    Ok(pictures)
}

/// A sheet of the pictures of a layer with the numbers of their filters.
pub fn filter_sheet(layer: &str, pictures: &[FilterPicture]) -> ContactSheet {
    let num_columns = pictures.len().isqrt().clamp(4, 16);
    let cells = pictures.iter().map(|picture| SheetCell {
        picture: picture.picture.clone(),
        caption: picture.filter.to_string(),
        frame: None,
    });
    let title = format!("{layer}: what its filters respond to");
    ContactSheet::grid(title, 132, num_columns, cells)
}

/// `[3, size, size]` in 0..=1 as 8-bit colours.
fn as_picture(values: &[f32], size: usize) -> RgbImage {
    let mut picture = RgbImage::new(size as u32, size as u32);
    for (place, pixel) in picture.pixels_mut().enumerate() {
        let value =
            |plane: usize| (values[plane * size * size + place] * 255.0).round().clamp(0.0, 255.0) as u8;
        *pixel = Rgb([0, 1, 2].map(value));
    }
    picture
}

#[cfg(test)]
mod tests {
    use deepcluster_models::{Architecture, ConvNetConfig};
    use deepcluster_trainer::TrainConfig;

    use super::*;

    fn network(sobel: bool) -> TrainedNetwork<ConvNet> {
        let mut settings = TrainConfig::default();
        settings.images.size = 32;
        settings.network.width = 0.25;
        settings.network.sobel = sobel;
        let config = ConvNetConfig::new(Architecture::AlexnetSmall, 32, sobel, 0.25).unwrap();
        let network = config.init(3, &Device::flex()).unwrap();
        TrainedNetwork::from_network(settings, network, &Device::flex())
    }

    fn find(
        sobel: bool,
        layer: &str,
        filters: &[usize],
        config: &FilterPictureConfig,
    ) -> Result<Vec<FilterPicture>, ReportError> {
        filter_pictures(&network(sobel), layer, filters, config, &mut ())
    }

    fn config(method: AscentMethod) -> FilterPictureConfig {
        FilterPictureConfig { method, size: Some(32), steps: Some(24), ..FilterPictureConfig::default() }
    }

    #[test]
    fn filters_respond_to_their_pictures() {
        for method in [AscentMethod::Modern, AscentMethod::Original] {
            let pictures = find(true, "conv3", &[7, 2, 11], &config(method)).unwrap();
            assert_eq!(pictures.iter().map(|picture| picture.filter).collect::<Vec<_>>(), [7, 2, 11]);
            for picture in &pictures {
                let (response, before) = (picture.response, picture.noise_response);
                assert!(response > before, "{method:?}: {response} after {before}");
                assert_eq!(picture.picture.dimensions(), (32, 32));
            }
        }
    }

    #[test]
    fn pictures_are_grey_behind_the_sobel_filter_and_coloured_without() {
        let is_grey = |sobel| {
            let pictures = find(sobel, "conv1", &[0], &config(AscentMethod::Modern)).unwrap();
            pictures[0].picture.pixels().all(|pixel| pixel.0[0] == pixel.0[1] && pixel.0[1] == pixel.0[2])
        };
        assert!(is_grey(true));
        assert!(!is_grey(false));
    }

    #[test]
    fn a_picture_does_not_depend_on_its_company() {
        let config = config(AscentMethod::Modern);
        let alone = find(true, "conv2", &[4], &config).unwrap();
        let together = find(true, "conv2", &[1, 4], &config).unwrap();
        let difference =
            alone[0].picture.iter().zip(together[1].picture.iter()).map(|(a, b)| a.abs_diff(*b)).max();
        assert!(difference <= Some(2), "{difference:?}");
        assert_eq!(find(true, "conv2", &[4], &config).unwrap(), alone);
        let other = FilterPictureConfig { seed: 32, ..config };
        assert_ne!(find(true, "conv2", &[4], &other).unwrap(), alone);
    }

    #[test]
    fn bad_settings_are_named() {
        let good = config(AscentMethod::Modern);
        let cases = [
            ("size", FilterPictureConfig { size: Some(7), ..good.clone() }),
            ("steps", FilterPictureConfig { steps: Some(0), ..good.clone() }),
            ("step_size", FilterPictureConfig { step_size: Some(f64::NAN), ..good.clone() }),
            ("batch_size", FilterPictureConfig { batch_size: 0, ..good.clone() }),
        ];
        for (name, config) in cases {
            let error = find(true, "conv1", &[0], &config).unwrap_err();
            assert!(
                matches!(error, ReportError::InvalidConfig { field, .. } if field == name),
                "{name}: {error}"
            );
        }
        let error = find(true, "conv9", &[0], &good).unwrap_err().to_string();
        assert!(error.contains("conv1, conv2"), "{error}");
        let error = find(true, "conv1", &[12], &good).unwrap_err().to_string();
        assert!(error.contains("0 to 11"), "{error}");
        let small = FilterPictureConfig { size: Some(8), ..good };
        assert!(matches!(find(true, "conv1", &[0], &small), Err(ReportError::ImagesTooSmall { .. })));
    }

    #[test]
    fn sheets_show_every_picture() {
        let pictures = find(
            true,
            "conv1",
            &[3, 5],
            &FilterPictureConfig { steps: Some(1), ..config(AscentMethod::Modern) },
        );
        let sheet = filter_sheet("conv1", &pictures.unwrap());
        let captions: Vec<_> =
            sheet.rows.iter().flatten().flatten().map(|cell| cell.caption.clone()).collect();
        assert_eq!(captions, ["3", "5"]);
    }
}
