//! safetensors files, written array by array.

use std::collections::BTreeMap;
use std::io::{self, Write};
use std::path::Path;

use deepcluster_files::write_whole;
use safetensors::tensor::{Dtype, Metadata, TensorInfo};

use super::array::{Array, Values};
use crate::weights::error::WeightsError;

/// Writes a file with `arrays` and `metadata`.
pub(crate) fn write(
    mut arrays: Vec<Array<'_>>,
    metadata: &BTreeMap<String, String>,
    path: &Path,
) -> Result<(), WeightsError> {
    // The order of the format: wide numbers first, so that all are aligned, then by name.
    arrays.sort_by(|left, right| dtype(right).cmp(&dtype(left)).then_with(|| left.name.cmp(&right.name)));
    let header =
        header(&arrays, metadata).map_err(io::Error::other).map_err(WeightsError::io("write", path))?;
    write_whole(path, |writer| {
        writer.write_all(&(header.len() as u64).to_le_bytes())?;
        writer.write_all(header.as_bytes())?;
        arrays.iter().try_for_each(|array| array.write_values(writer))
    })
    .map_err(WeightsError::io("write", path))
}

/// The header with the metadata in sorted order; the crate's own map of them has a random order, and with it
/// the bytes of the file would differ from run to run.
fn header(
    arrays: &[Array<'_>],
    metadata: &BTreeMap<String, String>,
) -> Result<String, Box<dyn std::error::Error + Send + Sync>> {
    let mut infos = Vec::with_capacity(arrays.len());
    let mut start = 0;
    for array in arrays {
        let end = start + array.num_bytes();
        let info = TensorInfo { dtype: dtype(array), shape: array.shape.clone(), data_offsets: (start, end) };
        infos.push((array.name.clone(), info));
        start = end;
    }
    let arrays = serde_json::to_string(&Metadata::new(None, infos)?)?;
    let arrays = arrays.strip_prefix('{').ok_or("the header is no object")?;
    let separator = if arrays == "}" { "" } else { "," };
    let metadata = serde_json::to_string(metadata)?;
    let mut header = format!("{{\"__metadata__\":{metadata}{separator}{arrays}");
    // The format asks for data at multiples of 8 bytes.
    header.extend(std::iter::repeat_n(' ', header.len().next_multiple_of(8) - header.len()));
    Ok(header)
}

fn dtype(array: &Array<'_>) -> Dtype {
    match array.values {
        Values::F32(_) | Values::Transposed(_) => Dtype::F32,
        Values::F64(_) => Dtype::F64,
        Values::I64(_) => Dtype::I64,
    }
}
