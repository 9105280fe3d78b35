//! Runs a model from its bytes, operator by operator, knowing nothing of the network that it was made from.

use std::collections::BTreeMap;

use burn::tensor::module::{conv2d, max_pool2d};
use burn::tensor::ops::{ConvOptions, MaxPoolOptions};
use burn::tensor::{Device, Tensor, TensorData};
use prost::Message;

use super::proto::{FLOAT, INT64, ModelProto, NodeProto, ValueInfoProto};

/// An array of the graph; integers are exact below 2^24.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Value {
    pub(super) shape: Vec<usize>,
    pub(super) values: Vec<f32>,
}

/// The outputs of the model in `bytes` for `images`, by name. Also checks the declared types and shapes.
pub(super) fn run(bytes: &[u8], images: Value) -> BTreeMap<String, Value> {
    let model = ModelProto::decode(bytes).unwrap();
    assert_eq!((model.ir_version, model.opset_import.len(), model.opset_import[0].version), (8, 1, 17));
    let graph = model.graph.unwrap();
    let mut values = BTreeMap::new();
    for constant in graph.initializer {
        assert_eq!(constant.data_type, FLOAT, "{}", constant.name);
        let shape: Vec<usize> = constant.dims.iter().map(|&size| size as usize).collect();
        let (words, rest) = constant.raw_data.as_chunks::<4>();
        assert!(rest.is_empty() && words.len() == shape.iter().product::<usize>(), "{}", constant.name);
        let array = Value { shape, values: words.iter().map(|&word| f32::from_le_bytes(word)).collect() };
        assert_eq!(values.insert(constant.name, array), None);
    }
    assert_eq!(graph.input.len(), 1);
    check_info(&graph.input[0], FLOAT, &images);
    values.insert(graph.input[0].name.clone(), images);
    for node in &graph.node {
        let inputs: Vec<&Value> =
            node.input.iter().map(|name| values.get(name).unwrap_or_else(|| panic!("no {name}"))).collect();
        let output = apply(node, &inputs);
        assert_eq!(values.insert(node.output[0].clone(), output), None, "{} is set twice", node.output[0]);
    }
    let mut outputs = BTreeMap::new();
    for info in &graph.output {
        let value = values.remove(&info.name).unwrap();
        check_info(info, if info.name == "cluster" { INT64 } else { FLOAT }, &value);
        outputs.insert(info.name.clone(), value);
    }
    outputs
}

fn check_info(info: &ValueInfoProto, elem_type: i32, value: &Value) {
    let tensor = info.r#type.as_ref().unwrap().tensor_type.as_ref().unwrap();
    assert_eq!(tensor.elem_type, elem_type, "{}", info.name);
    let dims = &tensor.shape.as_ref().unwrap().dim;
    assert_eq!(dims[0].dim_param.as_deref(), Some("batch"));
    let sizes: Vec<usize> = dims[1..].iter().map(|dim| dim.dim_value.unwrap() as usize).collect();
    assert_eq!(sizes, value.shape[1..], "{}", info.name);
}

fn apply(node: &NodeProto, inputs: &[&Value]) -> Value {
    let int = |name: &str, default: i64| {
        node.attribute.iter().find(|attribute| attribute.name == name).map_or(default, |a| a.i.unwrap())
    };
    let float = |name: &str, default: f32| {
        node.attribute.iter().find(|attribute| attribute.name == name).map_or(default, |a| a.f.unwrap())
    };
    let ints = |name: &str| -> Vec<usize> {
        let attribute = node.attribute.iter().find(|attribute| attribute.name == name).unwrap();
        attribute.ints.iter().map(|&value| value as usize).collect()
    };
    match node.op_type.as_str() {
        "Conv" => {
            let (pads, strides) = (ints("pads"), ints("strides"));
            assert_eq!(inputs[1].shape[2..], ints("kernel_shape"));
            assert!(pads.iter().all(|&pad| pad == pads[0]));
            let options = ConvOptions::new([strides[0], strides[1]], [pads[0], pads[1]], [1, 1], 1);
            let bias = Tensor::<1>::from_data(data(inputs[2]), &Device::flex());
            value(conv2d(tensor(inputs[0]), tensor(inputs[1]), Some(bias), options))
        }
        "BatchNormalization" => {
            let plane: usize = inputs[0].shape[2..].iter().product();
            let epsilon = float("epsilon", f32::NAN);
            map(inputs[0], |index, x| {
                let channel = index / plane % inputs[0].shape[1];
                let [scale, shift, mean, variance] = [1, 2, 3, 4].map(|input| inputs[input].values[channel]);
                scale * (x - mean) / (variance + epsilon).sqrt() + shift
            })
        }
        "Relu" => map(inputs[0], |_, x| x.max(0.0)),
        "MaxPool" => {
            let (kernel, strides) = (ints("kernel_shape"), ints("strides"));
            let mut options = MaxPoolOptions::new([kernel[0], kernel[1]]);
            options.stride = [strides[0], strides[1]];
            value(max_pool2d(tensor(inputs[0]), options))
        }
        "Flatten" => {
            assert_eq!(int("axis", 1), 1);
            let shape = vec![inputs[0].shape[0], inputs[0].shape[1..].iter().product()];
            Value { shape, values: inputs[0].values.clone() }
        }
        "Gemm" => {
            let (matrix, bias) = (inputs[1], inputs.get(2));
            let is_transposed = int("transB", 0) == 1;
            let (rows, inner) = (inputs[0].shape[0], inputs[0].shape[1]);
            let columns = matrix.shape[usize::from(!is_transposed)];
            assert_eq!(matrix.shape[usize::from(is_transposed)], inner);
            let mut values = Vec::with_capacity(rows * columns);
            for row in inputs[0].values.chunks_exact(inner) {
                for column in 0..columns {
                    let product = row.iter().enumerate().map(|(index, &x)| {
                        let place =
                            if is_transposed { column * inner + index } else { index * columns + column };
                        f64::from(x) * f64::from(matrix.values[place])
                    });
                    let sum = f64::from(float("alpha", 1.0)) * product.sum::<f64>();
                    values.push((sum + bias.map_or(0.0, |bias| f64::from(bias.values[column]))) as f32);
                }
            }
            Value { shape: vec![rows, columns], values }
        }
        "Sub" => map(inputs[0], |index, x| x - inputs[1].values[index % inputs[1].values.len()]),
        "Max" => map(inputs[0], |_, x| x.max(inputs[1].values[0])),
        "Div" => map(inputs[0], |index, x| x / inputs[1].values[index / inputs[0].shape[1]]),
        "ReduceL2" => {
            assert_eq!((ints("axes"), int("keepdims", 1)), (vec![1], 1));
            let rows = inputs[0].values.chunks_exact(inputs[0].shape[1]);
            let norms = rows.map(|row| row.iter().map(|x| x * x).sum::<f32>().sqrt()).collect();
            Value { shape: vec![inputs[0].shape[0], 1], values: norms }
        }
        "ArgMin" => {
            assert_eq!((int("axis", 0), int("keepdims", 1)), (1, 0));
            let rows = inputs[0].values.chunks_exact(inputs[0].shape[1]);
            let smallest = rows.map(|row| {
                let first = (0..row.len()).min_by(|&left, &right| row[left].total_cmp(&row[right]));
                first.unwrap() as f32
            });
            Value { shape: vec![inputs[0].shape[0]], values: smallest.collect() }
        }
        other => panic!("the operator {other} is unknown"),
    }
}

fn map(input: &Value, function: impl Fn(usize, f32) -> f32) -> Value {
    let values = input.values.iter().enumerate().map(|(index, &value)| function(index, value)).collect();
    Value { shape: input.shape.clone(), values }
}

fn data(value: &Value) -> TensorData {
    TensorData::new(value.values.clone(), value.shape.clone())
}

fn tensor(value: &Value) -> Tensor<4> {
    Tensor::from_data(data(value), &Device::flex())
}

fn value(tensor: Tensor<4>) -> Value {
    Value { shape: tensor.dims().to_vec(), values: tensor.into_data().try_to_vec().unwrap() }
}
