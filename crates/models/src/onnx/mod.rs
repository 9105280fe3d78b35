//! ONNX models, written constant by constant.

mod graph;
#[cfg(test)]
mod interpreter;
mod proto;
#[cfg(test)]
mod tests;

use std::io::{self, Write};
use std::path::Path;

use deepcluster_files::write_whole;
use prost::Message;

use crate::weights::array::Array;
use crate::weights::error::WeightsError;
use crate::weights::export::ExportedNetwork;
use graph::Graph;
use proto::{FLOAT, ModelProto, OperatorSetIdProto, StringStringEntryProto, TensorProto};

/// Version of the operators: the last in which `ReduceL2` takes its axes as an attribute.
const OPSET: i64 = 17;
/// Version of the format that belongs to [`OPSET`].
const IR_VERSION: i64 = 8;
/// Messages of Protocol Buffers are smaller than 2 GiB.
const LARGEST_MODEL: u64 = i32::MAX as u64;

/// Keys of the fields that are written by hand: the number of the field, and 2 for a length and bytes.
const MODEL_GRAPH: u8 = (7 << 3) | 2;
const GRAPH_INITIALIZER: u8 = (5 << 3) | 2;
const TENSOR_RAW_DATA: u8 = (9 << 3) | 2;

pub(crate) fn write(network: &ExportedNetwork<'_>, path: &Path) -> Result<(), WeightsError> {
    let graph = Graph::new(network)?;
    let model = model(network).encode_to_vec();
    let head = graph.proto.encode_to_vec();
    let constants: Vec<Constant<'_>> = graph.constants.iter().map(Constant::new).collect();
    let graph_len = head.len() as u64 + constants.iter().map(Constant::len_as_field).sum::<u64>();
    let num_bytes = model.len() as u64 + field_len(graph_len);
    if num_bytes > LARGEST_MODEL {
        return Err(WeightsError::TooLarge { num_bytes, limit: LARGEST_MODEL });
    }
    write_whole(path, |writer| {
        writer.write_all(&model)?;
        write_key(MODEL_GRAPH, graph_len, writer)?;
        writer.write_all(&head)?;
        constants.iter().try_for_each(|constant| constant.write(writer))
    })
    .map_err(WeightsError::io("write", path))
}

/// The model without its graph.
fn model(network: &ExportedNetwork<'_>) -> ModelProto {
    let entry = |(key, value)| StringStringEntryProto { key, value };
    ModelProto {
        ir_version: IR_VERSION,
        producer_name: "deepcluster".to_string(),
        producer_version: env!("CARGO_PKG_VERSION").to_string(),
        doc_string: "Features and clusters of a network trained by DeepCluster".to_string(),
        graph: None,
        opset_import: vec![OperatorSetIdProto { domain: String::new(), version: OPSET }],
        metadata_props: network.all_metadata().into_iter().map(entry).collect(),
    }
}

/// A constant of the graph, in parts: everything but its values is a message in memory.
struct Constant<'a> {
    head: Vec<u8>,
    array: &'a Array<'a>,
}

impl<'a> Constant<'a> {
    fn new(array: &'a Array<'a>) -> Self {
        let head = TensorProto {
            dims: array.shape.iter().map(|&size| size as i64).collect(),
            data_type: FLOAT,
            name: array.name.clone(),
            raw_data: Vec::new(),
        };
        Self { head: head.encode_to_vec(), array }
    }

    fn len(&self) -> u64 {
        self.head.len() as u64 + field_len(self.array.num_bytes() as u64)
    }

    fn len_as_field(&self) -> u64 {
        field_len(self.len())
    }

    fn write(&self, writer: &mut impl Write) -> io::Result<()> {
        write_key(GRAPH_INITIALIZER, self.len(), writer)?;
        writer.write_all(&self.head)?;
        write_key(TENSOR_RAW_DATA, self.array.num_bytes() as u64, writer)?;
        self.array.write_values(writer)
    }
}

/// Bytes of a field whose value has `len` bytes, with its key and length.
fn field_len(len: u64) -> u64 {
    1 + prost::length_delimiter_len(len as usize) as u64 + len
}

fn write_key(key: u8, len: u64, writer: &mut impl Write) -> io::Result<()> {
    let mut bytes = vec![key];
    prost::encode_length_delimiter(len as usize, &mut bytes).map_err(io::Error::other)?;
    writer.write_all(&bytes)
}
