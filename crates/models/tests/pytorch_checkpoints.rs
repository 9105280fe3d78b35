//! Checkpoints of every serialisation, and what becomes of damaged and hostile ones.
//!
//! The tiny checkpoints beside this file come from `tests/python/make_checkpoints.py`.
#![allow(clippy::unwrap_used, reason = "tests")]

use std::fs;
use std::io::{Read, Write};
use std::path::{Path, PathBuf};

use burn::tensor::TensorData;
use deepcluster_damage::{CountingAllocator, ReaderTest};
use deepcluster_models::weights::PytorchCheckpoint;
use deepcluster_models::weights::{
    PytorchParameter, WeightsError, pytorch_head, pytorch_parameters, transpose,
};
use deepcluster_models::{Architecture, NamedWeights};
use serde_json::Value;

#[global_allocator]
static ALLOCATOR: CountingAllocator = CountingAllocator;

const NAMES: [&str; 4] =
    ["alexnet-zip.pth.tar", "alexnet-legacy.pth.tar", "alexnet-tar.pth.tar", "vgg16-half.pth"];

fn path_of(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/checkpoints").join(name)
}

fn expected() -> Value {
    serde_json::from_slice(&fs::read(path_of("expected.json")).unwrap()).unwrap()
}

/// First and last value and L2 norm in PyTorch's layout.
fn figures(data: &TensorData) -> [f64; 3] {
    let values = data.as_slice::<f32>().unwrap();
    let norm = values.iter().map(|&value| f64::from(value).powi(2)).sum::<f64>().sqrt();
    [f64::from(values[0]), f64::from(values[values.len() - 1]), norm]
}

fn assert_figures(name: &str, data: &TensorData, is_transposed: bool, expected: &Value) {
    let data = if is_transposed { transpose(data) } else { data.clone() };
    let expected: [f64; 3] = serde_json::from_value(expected.clone()).unwrap();
    for (found, expected) in figures(&data).into_iter().zip(expected) {
        assert!(
            (found - expected).abs() <= 1e-6 * expected.abs().max(1e-3),
            "{name}: {found}, not {expected}"
        );
    }
}

fn assert_weights(weights: &NamedWeights, parameters: &[PytorchParameter], expected: &Value) {
    assert_eq!(weights.len(), parameters.len());
    for parameter in parameters {
        let name = &parameter.pytorch_name;
        assert_figures(name, &weights[&parameter.name], parameter.is_transposed, &expected["weights"][name]);
    }
}

#[test]
fn every_serialisation_gives_the_weights_that_pytorch_reads() {
    for name in NAMES {
        let checkpoint = PytorchCheckpoint::open(&path_of(name)).unwrap();
        let expected = &expected()[name];
        let is_alexnet = name.starts_with("alexnet");
        let architecture = if is_alexnet { Architecture::Alexnet } else { Architecture::Vgg16 };
        assert_eq!((checkpoint.architecture(), checkpoint.sobel()), (architecture, is_alexnet), "{name}");
        let config = checkpoint.network_config(None).unwrap();
        assert_weights(&checkpoint.read_network().unwrap(), &pytorch_parameters(&config), expected);
        // The weights fit the network.
        let network = config.init(1, &burn::tensor::Device::flex()).unwrap();
        deepcluster_models::import_weights(network, checkpoint.read_network().unwrap()).unwrap();
        assert_eq!(checkpoint.num_clusters(), is_alexnet.then_some(3), "{name}");
        if let Some(head) = checkpoint.read_head().unwrap() {
            assert_weights(&head, &pytorch_head(), expected);
        }
    }
}

#[test]
fn epoch_optimizer_and_momentum_come_along() {
    for name in ["alexnet-zip.pth.tar", "alexnet-legacy.pth.tar"] {
        let checkpoint = PytorchCheckpoint::open(&path_of(name)).unwrap();
        assert_eq!(checkpoint.epoch(), 7);
        let optimizer = checkpoint.optimizer().unwrap();
        assert_eq!((optimizer.learning_rate, optimizer.momentum, optimizer.weight_decay), (0.05, 0.9, 1e-5));
        let velocities = checkpoint.read_velocities().unwrap().unwrap();
        let expected = &expected()[name]["momentum"];
        assert_eq!(velocities.len(), expected.as_object().unwrap().len());
        let weights = checkpoint.read_network().unwrap();
        for parameter in pytorch_parameters(&checkpoint.network_config(None).unwrap()) {
            let Some(velocity) = velocities.get(&parameter.name) else {
                assert!(!parameter.is_trained, "{} has no momentum", parameter.name);
                continue;
            };
            let shape = weights[&parameter.name].shape().clone();
            let (bytes, _, dtype) = velocity.clone().into_parts();
            let data = TensorData::from_bytes(bytes, shape, dtype);
            let name = &parameter.pytorch_name;
            assert_figures(name, &data, parameter.is_transposed, &expected[name]);
        }
    }
    let bare = PytorchCheckpoint::open(&path_of("vgg16-half.pth")).unwrap();
    assert_eq!((bare.epoch(), bare.optimizer(), bare.read_velocities().unwrap()), (0, None, None));
}

/// Opens and reads everything, as an import does.
fn import(path: &Path) -> Result<(), WeightsError> {
    let checkpoint = PytorchCheckpoint::open(path)?;
    checkpoint.read_network()?;
    checkpoint.read_velocities()?;
    checkpoint.read_head().map(|_| ())
}

fn import_bytes(folder: &Path, bytes: &[u8]) -> Result<(), WeightsError> {
    let path = folder.join("checkpoint.pth.tar");
    fs::write(&path, bytes).unwrap();
    import(&path)
}

/// An archive as PyTorch writes it, with this pickle.
fn archive(pickle: &[u8], storages: &[(&str, &[u8])]) -> Vec<u8> {
    let mut writer = zip::ZipWriter::new(std::io::Cursor::new(Vec::new()));
    let options = zip::write::SimpleFileOptions::default().compression_method(zip::CompressionMethod::Stored);
    let mut add = |name: &str, bytes: &[u8]| {
        writer.start_file(name, options).unwrap();
        writer.write_all(bytes).unwrap();
    };
    add("archive/data.pkl", pickle);
    for (name, bytes) in storages {
        add(&format!("archive/data/{name}"), bytes);
    }
    add("archive/version", b"3\n");
    writer.finish().unwrap().into_inner()
}

/// The pickle of an archive and its storages.
fn unpack(bytes: &[u8]) -> (Vec<u8>, Vec<(String, Vec<u8>)>) {
    let mut archive = zip::ZipArchive::new(std::io::Cursor::new(bytes)).unwrap();
    let (mut pickle, mut storages) = (Vec::new(), Vec::new());
    for index in 0..archive.len() {
        let mut entry = archive.by_index(index).unwrap();
        let name = entry.name().unwrap().into_owned();
        let mut contents = Vec::new();
        entry.read_to_end(&mut contents).unwrap();
        if name.ends_with("data.pkl") {
            pickle = contents;
        } else if let Some((_, number)) = name.split_once("/data/") {
            storages.push((number.to_string(), contents));
        }
    }
    (pickle, storages)
}

#[test]
fn hostile_pickles_are_refused_and_nothing_is_executed() {
    let folder = tempfile::tempdir().unwrap();
    let marker = folder.path().join("executed");
    let command = format!("touch {}", marker.display());
    let call = |class: &[u8]| {
        [
            b"\x80\x02c".as_slice(),
            class,
            b"X",
            &(command.len() as u32).to_le_bytes(),
            command.as_bytes(),
            b"\x85R.",
        ]
        .concat()
    };
    let nested = [b"\x80\x02".to_vec(), vec![b']'; 100_000], vec![b'a'; 99_999], b".".to_vec()].concat();
    let bomb = {
        let mut pickle = b"\x80\x02]q\x00".to_vec();
        for index in 0..60_u8 {
            pickle.extend([b']', b'q', index + 1, b'(', b'h', index, b'h', index, b'e']);
        }
        pickle.push(b'.');
        pickle
    };
    let pickles: [(&str, Vec<u8>); 7] = [
        ("system", call(b"posix\nsystem\n")),
        ("eval", call(b"builtins\neval\n")),
        ("nested", nested),
        ("bomb", bomb),
        ("long text", b"\x80\x02B\xff\xff\xff\xffabc.".to_vec()),
        ("longer text", b"\x80\x04\x8e\xff\xff\xff\xff\xff\xff\xff\x7fabc.".to_vec()),
        ("no dictionary", b"\x80\x02K\x01.".to_vec()),
    ];
    for (name, pickle) in pickles {
        for bytes in [archive(&pickle, &[]), pickle] {
            let error = import_bytes(folder.path(), &bytes).unwrap_err();
            assert!(matches!(error, WeightsError::Checkpoint { .. }), "{name}: {error}");
        }
    }
    assert!(!marker.exists());
}

#[test]
fn compressed_archives_and_other_files_are_refused_by_name() {
    let folder = tempfile::tempdir().unwrap();
    let refused = |bytes: &[u8], reason: &str| {
        let error = import_bytes(folder.path(), bytes).unwrap_err().to_string();
        assert!(error.contains("checkpoint.pth.tar") && error.contains(reason), "{error}");
    };
    refused(b"", "empty");
    refused(&[0x1f, 0x8b, 8, 0, 0, 0], "gzip");
    refused(b"\x89PNG\r\n\x1a\n", "");
    let (pickle, storages) = unpack(&fs::read(path_of("alexnet-zip.pth.tar")).unwrap());
    // Without a storage that the pickle names.
    let some: Vec<(&str, &[u8])> = storages[1..].iter().map(|(n, b)| (n.as_str(), b.as_slice())).collect();
    assert!(import_bytes(folder.path(), &archive(&pickle, &some)).is_err());
    let missing = import(&folder.path().join("nowhere.pth")).unwrap_err();
    assert!(matches!(missing, WeightsError::Io { .. }), "{missing}");
    assert!(matches!(import(folder.path()).unwrap_err(), WeightsError::Io { .. }));
}

#[test]
fn a_sobel_filter_of_another_kind_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let bytes = fs::read(path_of("alexnet-legacy.pth.tar")).unwrap();
    let kernel: Vec<u8> = [1.0_f32, 0.0, -1.0, 2.0, 0.0, -2.0].iter().flat_map(|v| v.to_le_bytes()).collect();
    let place = bytes.windows(kernel.len()).position(|window| window == kernel).unwrap();
    let mut changed = bytes;
    changed[place..place + 4].copy_from_slice(&3.0_f32.to_le_bytes());
    let error = import_bytes(folder.path(), &changed).unwrap_err().to_string();
    assert!(error.contains("sobel.1.weight has 3"), "{error}");
}

/// The operations of pickles.
const OPERATIONS: &[u8] =
    b"().0122BCFGIJKLMNPQRSTUVX]abcdeghijloprstuq}\x80\x81\x85\x8a\x8b\x8d\x8e\x93\x94\x95";

/// A test of an import. An interpreter makes objects of some hundred bytes of a single byte, as far as the
/// guard lets it.
fn damaged(seed: &str) -> ReaderTest<'static> {
    ReaderTest::new("checkpoint.pth.tar", [fs::read(path_of(seed)).unwrap()])
        .tokens(OPERATIONS.iter().map(|&operation| vec![operation]))
        .memory(64, 4 << 20)
}

#[test]
fn damaged_checkpoints_of_every_serialisation_are_refused_or_read() {
    for name in NAMES {
        let outcomes = damaged(name).run(import);
        assert!(outcomes.num_read > 0 && outcomes.num_refused > 0, "{name}: {outcomes:?}");
    }
}

#[test]
fn damaged_pickles_in_sound_archives_are_refused_or_read() {
    for name in ["alexnet-zip.pth.tar", "vgg16-half.pth"] {
        let (pickle, storages) = unpack(&fs::read(path_of(name)).unwrap());
        let storages: Vec<(&str, &[u8])> = storages.iter().map(|(n, b)| (n.as_str(), b.as_slice())).collect();
        let outcomes = ReaderTest::new("checkpoint.pth.tar", [pickle])
            .tokens(OPERATIONS.iter().map(|&operation| vec![operation]))
            .packed(|pickle| archive(pickle, &storages))
            .memory(64, 4 << 20)
            .run(import);
        assert!(outcomes.num_read > 0 && outcomes.num_refused > 0, "{name}: {outcomes:?}");
    }
}
