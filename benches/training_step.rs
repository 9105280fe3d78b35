//! Images per second of a training step and of feature extraction, without data loading.
//!
//! `cargo bench --bench training_step`; criterion prints elements (images) per second.
use burn::module::Module;
use burn::tensor::{Distribution, Int, Tensor, TensorData};
use deepcluster::models::{Architecture, Backbone, ConvNetConfig, Head, Pass};
use deepcluster::trainer::{Sgd, parse_device, training_step};
use deepcluster_testing::criterion::{Criterion, Throughput, criterion_group, criterion_main};

fn networks(criterion: &mut Criterion) {
    for (architecture, image_size, batch) in
        [(Architecture::AlexnetSmall, 32, 128), (Architecture::Alexnet, 224, 32)]
    {
        let device = parse_device("auto").expect("a device").autodiff();
        let config = ConvNetConfig::new(architecture, image_size, true, 1.0).expect("a valid size");
        let mut network = config.init(1, &device).expect("a valid configuration");
        let mut head = Head::new(network.feature_dim(), 100, 2, &device);
        let (mut network_sgd, mut head_sgd) = (Sgd::new(1e-4, 0.9, 1e-5), Sgd::new(1e-4, 0.0, 1e-5));
        let shape = [batch, 3, image_size, image_size];
        let images = Tensor::<4>::random(shape, Distribution::Default, &device);
        let labels: Vec<i64> = (0..batch as i64).map(|index| index % 100).collect();
        let targets = Tensor::<1, Int>::from_data(TensorData::new(labels, [batch]), &device);

        let mut group = criterion.benchmark_group(format!("{architecture}_{image_size}px_batch{batch}"));
        group.sample_size(10).throughput(Throughput::Elements(batch as u64));
        group.bench_function("training_step", |bencher| {
            bencher.iter(|| {
                let dropout = Pass::training(1);
                let (images, targets) = (images.clone(), targets.clone());
                training_step(
                    &mut network,
                    &mut head,
                    images,
                    targets,
                    &dropout,
                    &mut network_sgd,
                    &mut head_sgd,
                )
                .expect("a working device")
            });
        });
        let inference = network.valid();
        let inputs = images.clone().without_autodiff();
        group.bench_function("features", |bencher| {
            bencher.iter(|| {
                let features = inference.features(inputs.clone(), &Pass::inference());
                features.into_data()
            });
        });
        group.finish();
    }
}

criterion_group!(benches, networks);
criterion_main!(benches);
