//! The operators of a network, from normalised images to clusters.

use crate::{BatchNorm2d, ConvBlockConfig};
use deepcluster_clustering::{ClusterModel, Whitening};

use super::proto::{
    ATTRIBUTE_FLOAT, ATTRIBUTE_INT, ATTRIBUTE_INTS, AttributeProto, DimensionProto, FLOAT, GraphProto, INT64,
    NodeProto, TensorShapeProto, TensorTypeProto, TypeProto, ValueInfoProto,
};
use crate::weights::array::{Array, Values};
use crate::weights::error::WeightsError;
use crate::weights::export::{ExportedNetwork, mismatch};
use crate::weights::state_dict::sobel_arrays;

/// The operators, inputs and outputs, and beside them the constants, which are written from where they are.
pub(super) struct Graph<'a> {
    pub(super) proto: GraphProto,
    pub(super) constants: Vec<Array<'a>>,
}

impl<'a> Graph<'a> {
    pub(super) fn new(network: &ExportedNetwork<'a>) -> Result<Self, WeightsError> {
        let mut graph = Self { proto: GraphProto::default(), constants: Vec::new() };
        graph.proto.name = network.config.architecture.to_string();
        let size = network.config.image_size;
        let images = value_info("images", FLOAT, &[3, size, size]);
        let doc = "RGB in 0..=1, minus the metadata's input_mean, divided by input_std";
        graph.proto.input.push(ValueInfoProto { doc_string: doc.to_string(), ..images });
        for (name, data) in network.network {
            graph.constants.push(Array::from_data(name.clone(), data)?);
        }
        graph.add_network(network);
        if let Some(clusters) = network.clusters {
            graph.add_clusters(clusters)?;
        }
        Ok(graph)
    }

    fn add_network(&mut self, network: &ExportedNetwork<'a>) {
        let config = network.config;
        let mut value = "images".to_string();
        if config.sobel {
            self.constants.extend(sobel_arrays());
            for (layer, kernel, padding) in [("sobel.0", 1, 0), ("sobel.1", 3, 1)] {
                let attributes = convolution(kernel, 1, padding);
                value = self.add_layer("Conv", layer, &value, &["weight", "bias"], attributes);
            }
        }
        for (index, block) in config.blocks.iter().enumerate() {
            let ConvBlockConfig { kernel, stride, padding, pooling, .. } = *block;
            let layer = |part: &str| format!("blocks.{index}.{part}");
            let attributes = convolution(kernel, stride, padding);
            value = self.add_layer("Conv", &layer("convolution"), &value, &["weight", "bias"], attributes);
            let parameters = ["gamma", "beta", "running_mean", "running_var"];
            let attributes = vec![float("epsilon", BatchNorm2d::EPSILON as f32)];
            value = self.add_layer("BatchNormalization", &layer("norm"), &value, &parameters, attributes);
            value = self.add("Relu", &layer("relu"), &[&value], vec![]);
            if let Some(pooling) = pooling {
                let attributes =
                    vec![ints("kernel_shape", &[pooling.size; 2]), ints("strides", &[pooling.stride; 2])];
                value = self.add("MaxPool", &layer("pooling"), &[&value], attributes);
            }
        }
        value = self.add("Flatten", "flatten", &[&value], vec![int("axis", 1)]);
        value = self.add_layer("Gemm", "fc6", &value, &["weight", "bias"], vec![]);
        value = self.add("Relu", "fc6.relu", &[&value], vec![]);
        self.add("Gemm", "features", &[&value, "fc7.weight", "fc7.bias"], vec![]);
        self.proto.output.push(value_info("features", FLOAT, &[network.feature_dim()]));
    }

    /// The whitened features and the nearest centroid of each row `x`: the smallest `||c||^2 - 2 <x, c>`.
    fn add_clusters(&mut self, clusters: &ClusterModel) -> Result<(), WeightsError> {
        let mut rows = "features".to_string();
        if let Some(whitening) = &clusters.whitening {
            rows = self.add_whitening(whitening)?;
            self.proto.output.push(value_info("whitened", FLOAT, &[whitening.num_components()]));
        }
        let (num_clusters, dim) = clusters.centroids.dim();
        let norms = clusters.centroids.rows().into_iter();
        let norms = norms.map(|row| row.iter().map(|&value| f64::from(value).powi(2)).sum::<f64>());
        let norms: Vec<f64> = norms.collect();
        self.constants.push(rounded("clusters.squared_norms", vec![num_clusters], &norms)?);
        let centroids = clusters.centroids.iter().copied().collect();
        self.constants.push(Array::from_f32("clusters.centroids", vec![num_clusters, dim], centroids));
        let inputs = [&*rows, "clusters.centroids", "clusters.squared_norms"];
        let attributes = vec![float("alpha", -2.0), int("transB", 1)];
        let scores = self.add("Gemm", "clusters.scores", &inputs, attributes);
        self.add("ArgMin", "cluster", &[&scores], vec![int("axis", 1), int("keepdims", 0)]);
        self.proto.output.push(value_info("cluster", INT64, &[]));
        Ok(())
    }

    /// [`Whitening::transform`] in `f32`: centred, projected, and scaled to norm 1 where a row is not 0.
    fn add_whitening(&mut self, whitening: &Whitening) -> Result<String, WeightsError> {
        let (num_components, dim) = (whitening.num_components(), whitening.feature_dim());
        self.constants.push(rounded("whitening.mean", vec![dim], whitening.mean())?);
        let components = rounded("whitening.components", vec![num_components, dim], whitening.components())?;
        self.constants.push(components);
        let centered = self.add("Sub", "whitening.centered", &["features", "whitening.mean"], vec![]);
        let projected = if whitening.normalizes() { "whitening.projected" } else { "whitened" };
        let inputs = [&*centered, "whitening.components"];
        let projected = self.add("Gemm", projected, &inputs, vec![int("transB", 1)]);
        if !whitening.normalizes() {
            return Ok(projected);
        }
        // A row of zeros has norm 0, and stays 0 when it is divided by any other number.
        let smallest = Array::from_f32("whitening.smallest_norm", vec![1], vec![f32::MIN_POSITIVE]);
        self.constants.push(smallest);
        let attributes = vec![ints("axes", &[1]), int("keepdims", 1)];
        let norm = self.add("ReduceL2", "whitening.norm", &[&projected], attributes);
        let norm = self.add("Max", "whitening.divisor", &[&norm, "whitening.smallest_norm"], vec![]);
        Ok(self.add("Div", "whitened", &[&projected, &norm], vec![]))
    }

    /// Adds an operator whose further inputs are the constants `layer.parameter`.
    fn add_layer(
        &mut self,
        op_type: &str,
        layer: &str,
        input: &str,
        parameters: &[&str],
        attributes: Vec<AttributeProto>,
    ) -> String {
        let names: Vec<String> = parameters.iter().map(|parameter| format!("{layer}.{parameter}")).collect();
        let inputs: Vec<&str> = std::iter::once(input).chain(names.iter().map(String::as_str)).collect();
        self.add(op_type, layer, &inputs, attributes)
    }

    /// Adds an operator with one output, named after it.
    fn add(&mut self, op_type: &str, name: &str, inputs: &[&str], attribute: Vec<AttributeProto>) -> String {
        self.proto.node.push(NodeProto {
            input: inputs.iter().map(|input| input.to_string()).collect(),
            output: vec![name.to_string()],
            name: name.to_string(),
            op_type: op_type.to_string(),
            attribute,
        });
        name.to_string()
    }
}

fn convolution(kernel: usize, stride: usize, padding: usize) -> Vec<AttributeProto> {
    vec![ints("kernel_shape", &[kernel; 2]), ints("pads", &[padding; 4]), ints("strides", &[stride; 2])]
}

fn float(name: &str, value: f32) -> AttributeProto {
    AttributeProto { name: name.to_string(), f: Some(value), r#type: ATTRIBUTE_FLOAT, ..Default::default() }
}

fn int(name: &str, value: i64) -> AttributeProto {
    AttributeProto { name: name.to_string(), i: Some(value), r#type: ATTRIBUTE_INT, ..Default::default() }
}

fn ints(name: &str, values: &[usize]) -> AttributeProto {
    let ints = values.iter().map(|&value| value as i64).collect();
    AttributeProto { name: name.to_string(), ints, r#type: ATTRIBUTE_INTS, ..Default::default() }
}

/// An input or output with any number of rows of shape `row`.
fn value_info(name: &str, elem_type: i32, row: &[usize]) -> ValueInfoProto {
    let batch = DimensionProto { dim_value: None, dim_param: Some("batch".to_string()) };
    let sizes = row.iter().map(|&size| DimensionProto { dim_value: Some(size as i64), dim_param: None });
    let shape = TensorShapeProto { dim: std::iter::once(batch).chain(sizes).collect() };
    let tensor_type = Some(TensorTypeProto { elem_type, shape: Some(shape) });
    ValueInfoProto {
        name: name.to_string(),
        r#type: Some(TypeProto { tensor_type }),
        doc_string: String::new(),
    }
}

fn rounded(name: &str, shape: Vec<usize>, values: &[f64]) -> Result<Array<'static>, WeightsError> {
    let values: Vec<f32> = values.iter().map(|&value| value as f32).collect();
    if values.iter().any(|value| !value.is_finite()) {
        return Err(mismatch(format!("a value of {name} is too large for a 32-bit float")));
    }
    Ok(Array { name: name.to_string(), shape, values: Values::F32(values.into()) })
}
