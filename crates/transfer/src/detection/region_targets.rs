//! The loss of a batch of regions (Fast R-CNN, equations 1 to 3).

use burn::nn::loss::CrossEntropyLossConfig;
use burn::tensor::{Int, Tensor, TensorData};

use super::region_sampling::SampledRegion;

/// Cross-entropy of the classes, mean over the regions, plus the smooth distance of the boxes of those that
/// hold an object, summed over its four numbers and divided by the number of all regions.
///
/// # Shapes
/// - `scores`: `[regions, classes + 1]`, the background first
/// - `transforms`: `[regions, 4 (classes + 1)]`
pub(super) fn detection_loss(
    scores: Tensor<2>,
    transforms: Tensor<2>,
    regions: &[SampledRegion],
) -> Tensor<1> {
    let (device, num_regions) = (scores.device(), regions.len());
    let classes: Vec<i64> =
        regions.iter().map(|region| region.object.map_or(0, |(class, _)| class as i64 + 1)).collect();
    let classes = Tensor::<1, Int>::from_data(TensorData::new(classes, [num_regions]), &device);
    let class_loss = CrossEntropyLossConfig::new().init(&device).forward(scores, classes);
    let shape = transforms.dims();
    let (mut targets, mut counts) = (vec![0.0_f32; shape[0] * shape[1]], vec![0.0_f32; shape[0] * shape[1]]);
    for (row, region) in regions.iter().enumerate() {
        if let Some((class, transform)) = region.object {
            let start = row * shape[1] + 4 * (class + 1);
            targets[start..start + 4].copy_from_slice(&transform);
            counts[start..start + 4].fill(1.0);
        }
    }
    let tensor = |values: Vec<f32>| Tensor::<2>::from_data(TensorData::new(values, shape), &device);
    let distance = ((transforms - tensor(targets)) * tensor(counts)).abs();
    // Half the square up to 1, linear from there.
    let near = distance.clone().clamp_max(1.0);
    let box_loss = near.clone().powi_scalar(2) * 0.5 + (distance - near);
    class_loss + box_loss.sum() / num_regions as f64
}

#[cfg(test)]
mod tests {
    use burn::tensor::Device;
    use deepcluster_evaluation::BoundingBox;

    use super::*;

    #[test]
    fn the_loss_by_hand() {
        let device = Device::flex();
        let bounds = BoundingBox { x_min: 0.0, y_min: 0.0, x_max: 9.0, y_max: 9.0 };
        let regions = [
            SampledRegion { bounds, object: None },
            SampledRegion { bounds, object: Some((0, [0.5, 0.0, -3.0, 0.0])) },
        ];
        let scores = Tensor::<2>::from_data([[2.0, 0.0], [0.0, 0.0]], &device);
        // Transforms of the background class, and of the first region, do not count.
        let mut transforms = vec![9.0_f32; 8];
        transforms.extend([9.0, 9.0, 9.0, 9.0, 0.0, 0.0, 0.0, 0.0]);
        let transforms = Tensor::<2>::from_data(TensorData::new(transforms, [2, 8]), &device);
        let loss: f32 = detection_loss(scores, transforms, &regions).into_scalar();
        let class_loss = ((1.0 + (-2.0_f64).exp()).ln() + 2.0_f64.ln()) / 2.0;
        let box_loss = (0.5 * 0.25 + (3.0 - 0.5)) / 2.0;
        assert!((f64::from(loss) - class_loss - box_loss).abs() < 1e-5, "{loss}");
    }
}
