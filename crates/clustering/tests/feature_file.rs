//! Feature files: round trips, and files that are damaged or made to deceive.

#![allow(clippy::unwrap_used, clippy::panic, reason = "tests")]

use std::collections::HashMap;
use std::path::PathBuf;

use deepcluster_clustering::{
    ClusteringError, FeatureFile, FeatureFileProblem, FeatureType, HostRows, NpyWriter, WhiteningConfig,
};
use ndarray::Array2;
use proptest::prelude::*;
use safetensors::tensor::{Dtype, TensorView};
use tempfile::TempDir;

fn features(num_rows: usize, dim: usize) -> Array2<f32> {
    Array2::from_shape_fn((num_rows, dim), |(i, j)| ((i * 37 + j * 101 + i * j * 7) % 97) as f32 / 16.0 - 2.0)
}

fn write_npy(folder: &TempDir, features: &Array2<f32>, feature_type: FeatureType) -> PathBuf {
    let path = folder.path().join("features.npy");
    let mut writer = NpyWriter::create(&path, feature_type, features.ncols()).unwrap();
    for rows in features.as_slice().unwrap().chunks(3 * features.ncols()) {
        writer.write_rows(rows).unwrap();
    }
    assert_eq!(writer.finish().unwrap(), features.nrows());
    path
}

fn problem_of(result: Result<FeatureFile, ClusteringError>) -> FeatureFileProblem {
    match result {
        Err(ClusteringError::FeatureFile { problem, .. }) => problem,
        other => panic!("{other:?} is no problem of the file"),
    }
}

fn bytes_of(values: &[f32]) -> Vec<u8> {
    values.iter().flat_map(|value| value.to_le_bytes()).collect()
}

#[test]
fn written_rows_are_read_back_and_those_of_f32_without_a_copy() {
    let folder = tempfile::tempdir().unwrap();
    let features = features(10, 5);
    for feature_type in [FeatureType::F32, FeatureType::F16] {
        let file = FeatureFile::open(write_npy(&folder, &features, feature_type)).unwrap();
        assert_eq!((file.num_rows(), file.feature_dim(), file.feature_type()), (10, 5, feature_type));
        let mut buffer = Vec::new();
        // Sixteenths are exact in f16.
        assert_eq!(file.read_rows(0, 10, &mut buffer), features.as_slice().unwrap());
        assert_eq!(file.read_rows(4, 2, &mut buffer), &features.as_slice().unwrap()[20..30]);
        assert_eq!(buffer.is_empty(), feature_type == FeatureType::F32);
        assert!(file.read_rows(10, 0, &mut buffer).is_empty());
    }
    // Nothing else is left in the folder.
    assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 1);
}

#[test]
fn files_of_numpy_are_read() {
    let path = PathBuf::from(env!("CARGO_MANIFEST_DIR"))
        .join("../../../shared/fixtures/clustering/features_whitened.npy");
    if let Ok(file) = FeatureFile::open(path) {
        assert_eq!((file.num_rows(), file.feature_dim()), (10_000, 256));
    }
}

#[test]
fn misaligned_numbers_are_copied() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("odd.npy");
    for (descr, header_len, bytes) in [
        ("<f4", 69_u8, bytes_of(&[1.5, -2.0])),
        ("<f2", 69, vec![0x00, 0x3e, 0x00, 0xc0]), // 1.5 and -2 in f16
    ] {
        let text = format!("{{'descr': '{descr}', 'fortran_order': False, 'shape': (1, 2)}}");
        let mut file = b"\x93NUMPY\x01\0".to_vec();
        file.extend([header_len, 0]);
        file.extend(format!("{text:<width$}", width = usize::from(header_len)).bytes());
        file.extend(bytes);
        std::fs::write(&path, file).unwrap();
        let mut buffer = Vec::new();
        assert_eq!(FeatureFile::open(&path).unwrap().read_rows(0, 1, &mut buffer), [1.5, -2.0]);
        assert_eq!(buffer.len(), 2);
    }
}

#[test]
fn tensors_are_found_by_name_or_alone() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("features.safetensors");
    let bytes = bytes_of(&[1.0, 2.0, 3.0, 4.0, 5.0, 6.0]);
    let tensor = |shape: &[usize], dtype| TensorView::new(dtype, shape.to_vec(), &bytes).unwrap();
    let save = |tensors: Vec<(&str, TensorView<'_>)>| {
        std::fs::write(&path, safetensors::serialize(tensors, None::<HashMap<String, String>>).unwrap())
            .unwrap();
    };
    save(vec![("a", tensor(&[2, 3], Dtype::F32))]);
    let mut buffer = Vec::new();
    assert_eq!(FeatureFile::open(&path).unwrap().read_rows(1, 1, &mut buffer), [4.0, 5.0, 6.0]);
    assert!(buffer.is_empty());

    save(vec![
        ("matrix", tensor(&[3, 2], Dtype::F32)),
        ("half", tensor(&[2, 6], Dtype::F16)),
        ("vector", tensor(&[6], Dtype::F32)),
        ("integers", tensor(&[2, 3], Dtype::I32)),
    ]);
    assert_eq!(FeatureFile::open_tensor(&path, "matrix").unwrap().read_rows(0, 1, &mut buffer), [1.0, 2.0]);
    assert_eq!(FeatureFile::open_tensor(&path, "half").unwrap().feature_dim(), 6);
    let problem = problem_of(FeatureFile::open(&path));
    assert_eq!(problem.to_string(), "it has 4 tensors (half, integers, matrix, vector): name one");
    let problem = |name| problem_of(FeatureFile::open_tensor(&path, name));
    assert!(matches!(problem("vector"), FeatureFileProblem::NotAMatrix { shape } if shape == [6]));
    assert!(matches!(problem("integers"), FeatureFileProblem::DataType { found } if found == "I32"));
    assert!(matches!(problem("b"), FeatureFileProblem::NoSuchTensor { .. }));
    std::fs::write(&path, b"no tensors").unwrap();
    assert!(matches!(problem_of(FeatureFile::open(&path)), FeatureFileProblem::Safetensors { .. }));
}

#[test]
fn every_truncation_is_an_error_that_names_the_file() {
    let folder = tempfile::tempdir().unwrap();
    let path = write_npy(&folder, &features(4, 3), FeatureType::F32);
    let bytes = std::fs::read(&path).unwrap();
    for len in 0..bytes.len() {
        std::fs::write(&path, &bytes[..len]).unwrap();
        let error = FeatureFile::open(&path).unwrap_err();
        assert!(error.to_string().contains("features.npy"), "{error}");
    }
    let error = problem_of(FeatureFile::open(&path));
    assert!(matches!(error, FeatureFileProblem::Truncated { expected: 176, actual: 175 }));
    let error = FeatureFile::open(folder.path().join("absent.npy")).unwrap_err();
    assert!(matches!(error, ClusteringError::Io { action: "read", .. }));
}

#[test]
fn shapes_that_overflow_are_truncated_files() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("huge.npy");
    for shape in
        ["4294967296, 4294967296", "18446744073709551615, 18446744073709551615", "9223372036854775808, 2"]
    {
        write_header(&path, shape);
        assert!(matches!(problem_of(FeatureFile::open(&path)), FeatureFileProblem::Truncated { .. }));
    }
}

/// A file of a header alone.
fn write_header(path: &std::path::Path, shape: &str) {
    let text = format!("{{'descr': '<f4', 'fortran_order': False, 'shape': ({shape})}}");
    let mut file = b"\x93NUMPY\x01\0".to_vec();
    file.extend([text.len() as u8, 0]);
    file.extend(text.bytes());
    std::fs::write(path, file).unwrap();
}

#[test]
fn files_without_rows_or_columns_have_nothing_to_read_however_large_the_other_size() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("empty.npy");
    for shape in ["0, 18446744073709551615", "0, 9223372036854775808", "18446744073709551615, 0", "0, 0"] {
        write_header(&path, shape);
        let file = FeatureFile::open(&path).unwrap();
        let mut buffer = Vec::new();
        assert!(file.read_rows(0, 0, &mut buffer).is_empty());
        assert!(file.read_rows(file.num_rows(), 0, &mut buffer).is_empty());
        let error = WhiteningConfig::default().fit(&file).unwrap_err();
        assert!(matches!(error, ClusteringError::EmptyFeatures { .. }), "{error}");
    }
}

#[test]
fn a_writer_refuses_broken_rows_and_numbers_beyond_f16_and_leaves_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("features.npy");
    let mut writer = NpyWriter::create(&path, FeatureType::F16, 2).unwrap();
    let error = writer.write_rows(&[1.0, 2.0, 3.0]).unwrap_err();
    assert!(matches!(error, ClusteringError::DimensionMismatch { expected: 2, actual: 1, .. }));
    let error = writer.write_rows(&[1.0, 2.0, 3.0, -7e4]).unwrap_err();
    let ClusteringError::FeatureFile { problem, .. } = error else { panic!("{error}") };
    assert!(matches!(problem, FeatureFileProblem::BeyondF16 { row: 1, value: -7e4 }));
    drop(writer);
    assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 0);
    assert!(NpyWriter::create(&path, FeatureType::F32, 0).is_err());
    assert!(NpyWriter::create(folder.path().join("absent/features.npy"), FeatureType::F32, 2).is_err());
}

#[test]
fn whitening_from_file_to_file_has_the_bits_of_whitening_in_memory() {
    let folder = tempfile::tempdir().unwrap();
    for shape in [(700, 30), (30, 700)] {
        let features = features(shape.0, shape.1);
        let config = WhiteningConfig { num_components: 9, ..Default::default() };
        let expected = config.fit(&features).unwrap();
        // The transposed view of the transposed matrix has its rows in strides.
        let strided = features.t().as_standard_layout().into_owned();
        assert_eq!(config.fit(&strided.t()).unwrap(), expected);
        for feature_type in [FeatureType::F32, FeatureType::F16] {
            let file = FeatureFile::open(write_npy(&folder, &features, feature_type)).unwrap();
            let whitening = config.fit(&file).unwrap();
            assert_eq!(whitening, expected);
            let path = folder.path().join("whitened.npy");
            let mut writer = NpyWriter::create(&path, FeatureType::F32, 9).unwrap();
            whitening.transform_blocks(&file, |rows| writer.write_rows(rows)).unwrap();
            assert_eq!(writer.finish().unwrap(), shape.0);
            let mut buffer = Vec::new();
            let rows = whitening.transform(&features).unwrap();
            let whitened = FeatureFile::open(&path).unwrap();
            assert_eq!(whitened.read_rows(0, shape.0, &mut buffer), rows.as_slice().unwrap());
        }
    }
}

/// Reads all that a file offers, which must lie in the file.
fn open_and_read(path: &std::path::Path, file_len: usize) {
    if let Ok(file) = FeatureFile::open(path) {
        let values = file.read_rows(0, file.num_rows(), &mut Vec::new()).len();
        assert!(values * 2 <= file_len, "{values} values in {file_len} bytes");
    }
}

proptest! {
    #[test]
    fn damaged_files_are_an_error_or_another_matrix(
        changes in prop::collection::vec((0_usize..160, any::<u8>()), 1..6),
        is_npy in any::<bool>(),
    ) {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("features");
        let mut bytes = if is_npy {
            std::fs::read(write_npy(&folder, &features(3, 4), FeatureType::F16)).unwrap()
        } else {
            let values = bytes_of(&[1.0; 12]);
            let tensor = TensorView::new(Dtype::F32, vec![3, 4], &values).unwrap();
            safetensors::serialize([("features", tensor)], None::<HashMap<String, String>>).unwrap()
        };
        for (at, value) in changes {
            let at = at % bytes.len();
            bytes[at] = value;
        }
        std::fs::write(&path, &bytes).unwrap();
        open_and_read(&path, bytes.len());
    }

    #[test]
    fn npy_headers_of_any_text_are_an_error_or_a_matrix(
        version in 0_u8..5,
        text in r"\{('(descr|shape|fortran_order|x)': ('[<>|][fi][24]'|\([0-9L, ]{0,24}\)|True|False|\PC{0,6}),? ?){0,4}\}?",
        data in prop::collection::vec(any::<u8>(), 0..64),
    ) {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("features");
        let mut bytes = b"\x93NUMPY".to_vec();
        bytes.extend([version, 0]);
        if version == 1 {
            bytes.extend((text.len() as u16).to_le_bytes());
        } else {
            bytes.extend((text.len() as u32).to_le_bytes());
        }
        bytes.extend(text.bytes());
        bytes.extend(data);
        std::fs::write(&path, &bytes).unwrap();
        open_and_read(&path, bytes.len());
    }
}
