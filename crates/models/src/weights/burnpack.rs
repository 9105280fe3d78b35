//! Records of Burn.

use std::io;
use std::path::Path;

use burn::tensor::TensorData;
use burn_pack::{Error, Tensor, Writer};
use deepcluster_files::OutputFile;

use super::export::ExportedNetwork;
use crate::weights::error::WeightsError;

/// Writes the network alone: what [`Module::load_record`](burn::module::Module::load_record) takes must have
/// a place in the module.
pub(crate) fn write(network: &ExportedNetwork<'_>, path: &Path) -> Result<(), WeightsError> {
    let mut tensors = Vec::with_capacity(network.network.len());
    for (name, data) in network.network {
        tensors.push(tensor(name, data.clone()));
    }
    let mut writer = Writer::new(tensors).auto_extension(false).overwrite(true);
    for (key, value) in network.all_metadata() {
        writer = writer.with_metadata(&key, &value);
    }
    let file = OutputFile::create(path).map_err(WeightsError::io("write", path))?;
    // In place: the writer's own temporary file would take the place of ours.
    let written = writer.write_to_file_in_place(file.temporary_path());
    written.map_err(|error| {
        let source = match error {
            Error::IoError(reason) => io::Error::other(reason),
            error => io::Error::other(error.to_string()),
        };
        WeightsError::io("write", path)(source)
    })?;
    file.finish().map_err(WeightsError::io("write", path))
}

/// Without an id: those of Burn are drawn anew in every process, and equal networks shall give equal bytes.
fn tensor(name: &str, data: TensorData) -> Tensor {
    let (bytes, shape, dtype) = data.into_parts();
    Tensor::new(name.to_string(), dtype, shape, None, bytes)
}
