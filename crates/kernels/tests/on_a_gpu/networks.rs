//! The operations of networks, forward and backward, give what they give on the host.

use burn::tensor::{Device, Tensor, TensorData};
use deepcluster_kernels::{
    MapRegion, Pooling, SgdFactors, batch_norm_relu, conv2d, conv2d_relu_pool, linear, roi_max_pool,
    sgd_step, sobel,
};

use crate::{gpu, random};

fn tensor<const D: usize>(shape: [usize; D], seed: u64, device: &Device) -> Tensor<D> {
    Tensor::from_data(TensorData::new(random(shape.iter().product(), seed), shape), device)
}

type Values = Vec<f32>;

/// Reads the values at once: bytes of a GPU may come later, from memory that has another use by then.
trait ReadValues {
    fn values(self) -> Values;
}

impl<const D: usize> ReadValues for Tensor<D> {
    fn values(self) -> Values {
        self.into_data().try_to_vec().unwrap()
    }
}

/// Runs `compute` on the host and on a GPU and compares what it gives, relative to the largest value of each
/// tensor.
fn compare(tolerance: f32, compute: impl Fn(&Device) -> Vec<Values>) {
    let Some(device) = gpu() else { return };
    let (on_host, on_gpu) = (compute(&Device::flex()), compute(&device));
    assert_eq!(on_host.len(), on_gpu.len());
    for (index, (host, gpu)) in on_host.into_iter().zip(on_gpu).enumerate() {
        assert_eq!(host.len(), gpu.len(), "output {index}");
        let largest = host.iter().fold(0.0_f32, |largest, value| largest.max(value.abs()));
        for (host, gpu) in host.iter().zip(&gpu) {
            assert!((host - gpu).abs() <= tolerance * largest, "output {index}: {gpu} is not {host}");
        }
    }
}

/// An output and the gradients of its sum of squares for `inputs`.
fn with_gradients<const D: usize>(
    output: Tensor<D>,
    gradient_of: impl Fn(&burn::tensor::Gradients) -> Vec<Values>,
) -> Vec<Values> {
    let gradients = (output.clone() * output.clone()).sum().backward();
    let mut all = vec![output.values()];
    all.extend(gradient_of(&gradients));
    all
}

fn convolution(
    batch: usize,
    channels: [usize; 2],
    side: usize,
    kernel: usize,
    stride: usize,
    padding: usize,
) {
    let [inputs, outputs] = channels;
    compare(2e-5, |device| {
        let device = device.clone().autodiff();
        let images = tensor([batch, inputs, side, side], 1, &device).require_grad();
        let weight = tensor([outputs, inputs, kernel, kernel], 2, &device).require_grad();
        let bias = tensor([outputs], 3, &device).require_grad();
        let maps = conv2d(images.clone(), weight.clone(), bias.clone(), [stride; 2], [padding; 2]);
        with_gradients(maps, |gradients| {
            vec![
                images.grad(gradients).unwrap().values(),
                weight.grad(gradients).unwrap().values(),
                bias.grad(gradients).unwrap().values(),
            ]
        })
    });
}

#[test]
fn convolutions_and_their_gradients() {
    convolution(2, [3, 8], 12, 3, 1, 1);
    convolution(2, [8, 16], 9, 5, 1, 2);
}

/// The first layer of AlexNet, on smaller images.
#[test]
fn a_convolution_of_eleven_pixels_in_steps_of_four() {
    convolution(2, [2, 96], 35, 11, 4, 2);
}

#[test]
fn convolution_with_pooling() {
    let pooling = Pooling { size: 3, stride: 2 };
    compare(2e-5, |device| {
        let images = tensor([2, 3, 13, 13], 1, device);
        let (weight, bias) = (tensor([8, 3, 3, 3], 2, device), tensor([8], 3, device));
        vec![conv2d_relu_pool(images, weight, bias, [1; 2], [1; 2], pooling).values()]
    });
}

#[test]
fn batch_norm_with_pooling_and_its_gradients() {
    for pooling in [Pooling::NONE, Pooling { size: 3, stride: 2 }] {
        compare(2e-4, |device| {
            let device = device.clone().autodiff();
            let input = tensor([4, 6, 9, 9], 1, &device).require_grad();
            let (gamma, beta) =
                (tensor([6], 2, &device).require_grad(), tensor([6], 3, &device).require_grad());
            let normalized = batch_norm_relu(input.clone(), gamma.clone(), beta.clone(), 1e-5, pooling);
            let mut all = vec![normalized.mean.values(), normalized.variance.values()];
            all.extend(with_gradients(normalized.output, |gradients| {
                vec![
                    input.grad(gradients).unwrap().values(),
                    gamma.grad(gradients).unwrap().values(),
                    beta.grad(gradients).unwrap().values(),
                ]
            }));
            all
        });
    }
}

#[test]
fn fully_connected_layer_and_its_gradients() {
    compare(2e-5, |device| {
        let device = device.clone().autodiff();
        let (input, weight) =
            (tensor([5, 40], 1, &device).require_grad(), tensor([40, 30], 2, &device).require_grad());
        let bias = tensor([30], 3, &device).require_grad();
        with_gradients(linear(input.clone(), weight.clone(), bias.clone()), |gradients| {
            vec![
                input.grad(gradients).unwrap().values(),
                weight.grad(gradients).unwrap().values(),
                bias.grad(gradients).unwrap().values(),
            ]
        })
    });
}

#[test]
fn the_filter_and_a_step_of_descent() {
    compare(2e-5, |device| vec![sobel(tensor([2, 3, 10, 10], 1, device)).values()]);
    let factors = SgdFactors { learning_rate: 0.1, momentum: 0.9, weight_decay: 1e-3 };
    compare(1e-6, |device| {
        let [weights, gradient] = [1, 2].map(|seed| tensor([7, 5], seed, device));
        let (weights, velocity) = sgd_step(weights, gradient.clone(), None, factors);
        let (weights, velocity) = sgd_step(weights, gradient, Some(velocity), factors);
        vec![weights.values(), velocity.values()]
    });
}

#[test]
fn pooling_of_regions_and_its_gradient() {
    let region = |image, top, left| MapRegion { image, top, left, bottom: top + 4, right: left + 5 };
    compare(1e-6, |device| {
        let device = device.clone().autodiff();
        let maps = tensor([2, 3, 9, 9], 1, &device).require_grad();
        let pooled = roi_max_pool(maps.clone(), &[region(0, 0, 1), region(1, 3, 2), region(0, 2, 2)], 3);
        with_gradients(pooled, |gradients| vec![maps.grad(gradients).unwrap().values()])
    });
}
