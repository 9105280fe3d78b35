//! A look at the pickles of a file before they are interpreted.
//!
//! An interpreter of pickles makes an object of some hundred bytes of a single byte, and a compressed archive
//! a gigabyte of a megabyte. A checkpoint of these networks needs a few thousand operations and nothing
//! compressed, so files that ask for far more are refused unread.

use std::fs::File;
use std::io::{BufRead, BufReader, Read};
use std::path::Path;

/// Most operations in the pickles of a file. The checkpoint of a VGG-16 with its optimiser has about 4,000.
const MAX_OPERATIONS: usize = 200_000;

/// Most bytes of the pickle of an archive.
const MAX_PICKLE_BYTES: u64 = 16 << 20;

/// The first bytes of the magic number that opens the older form, as `PROTO` and `LONG1` write it.
const LEGACY_START: [u8; 5] = [0x80, 0x02, 0x8a, 0x0a, 0x6c];

/// Refuses files whose pickles could fill the memory, and those that are something else for a known reason.
pub(super) fn check(path: &Path) -> Result<(), String> {
    let open = || File::open(path).map_err(|error| error.to_string());
    let mut start = Vec::new();
    open()?.take(512).read_to_end(&mut start).map_err(|error| error.to_string())?;
    if let Some(reason) = other_format(&start) {
        return Err(reason.to_string());
    }
    let mut budget = MAX_OPERATIONS;
    if start.starts_with(b"PK") {
        check_archive(open()?, &mut budget)
    } else if is_tar(&start) {
        check_tar(open()?, &mut budget)
    } else {
        let mut reader = BufReader::new(open()?);
        // Magic number, protocol version, system, the object, the list of storages; then bytes without
        // pickles.
        let num_pickles = if start.starts_with(&LEGACY_START) { 5 } else { 1 };
        (0..num_pickles).try_for_each(|_| skip_pickle(&mut reader, &mut budget))
    }
}

fn is_tar(start: &[u8]) -> bool {
    start.get(257..262) == Some(b"ustar")
}

fn other_format(start: &[u8]) -> Option<&'static str> {
    let is_safetensors = start.get(8) == Some(&b'{') && start.get(4..8) == Some(&[0; 4]);
    if start.is_empty() {
        Some("it is empty")
    } else if start.starts_with(&[0x1f, 0x8b]) {
        Some("it is compressed by gzip: unpack it first")
    } else if is_safetensors {
        Some("it is a safetensors file, which has no checkpoint of training in it")
    } else if start.starts_with(b"version https://git-lfs") {
        Some("it is a pointer of Git LFS, not the file itself: fetch it with git lfs pull")
    } else if start.starts_with(b"<") {
        Some("it is a web page, not a checkpoint: the download has failed")
    } else {
        None
    }
}

fn check_archive(file: File, budget: &mut usize) -> Result<(), String> {
    let mut archive = zip::ZipArchive::new(BufReader::new(file)).map_err(|error| error.to_string())?;
    for index in 0..archive.len() {
        let entry = archive.by_index_raw(index).map_err(|error| error.to_string())?;
        let name = entry.name().map_err(|error| error.to_string())?.into_owned();
        if entry.compression() != zip::CompressionMethod::Stored {
            return Err(format!("its entry {name:?} is compressed, which PyTorch never does"));
        }
        if name.ends_with("constants.pkl") {
            return Err("it is a TorchScript program: save the state_dict of the model instead".to_string());
        }
        if name.ends_with(".pkl") {
            let size = entry.size();
            if size > MAX_PICKLE_BYTES {
                return Err(format!("its pickle {name:?} has {size} bytes, more than any checkpoint needs"));
            }
            skip_pickle(&mut BufReader::new(entry), budget)?;
        }
    }
    Ok(())
}

/// The pickle of the form before PyTorch 0.1.10; the tables of tensors beside it are bounded by their own
/// lengths.
fn check_tar(file: File, budget: &mut usize) -> Result<(), String> {
    let mut archive = tar::Archive::new(BufReader::new(file));
    for entry in archive.entries().map_err(|error| error.to_string())? {
        let entry = entry.map_err(|error| error.to_string())?;
        if entry.path_bytes().as_ref() == b"pickle" {
            skip_pickle(&mut BufReader::new(entry), budget)?;
        }
    }
    Ok(())
}

/// Passes over one pickle, counting its operations.
fn skip_pickle(reader: &mut impl BufRead, budget: &mut usize) -> Result<(), String> {
    let cut = |_| "its pickle is cut short".to_string();
    let byte = |reader: &mut dyn BufRead| -> Result<u8, String> {
        let mut byte = [0];
        reader.read_exact(&mut byte).map_err(cut)?;
        Ok(byte[0])
    };
    loop {
        *budget = budget.checked_sub(1).ok_or_else(|| {
            format!("its pickle has more than {MAX_OPERATIONS} operations, more than any checkpoint needs")
        })?;
        let operation = byte(reader)?;
        let length = match operation {
            b'.' => return Ok(()),
            b'K' | b'h' | b'q' | 0x80 | 0x82 => 1,
            b'M' | 0x83 => 2,
            b'J' | b'j' | b'r' | 0x84 => 4,
            b'G' => 8,
            // Bytes with their length before them: one, four or eight bytes of it.
            b'U' | b'C' | 0x8a | 0x8c => u64::from(byte(reader)?),
            b'T' | b'X' | b'B' | 0x8b => {
                let mut length = [0; 4];
                reader.read_exact(&mut length).map_err(cut)?;
                u64::from(u32::from_le_bytes(length))
            }
            0x8d | 0x8e | 0x96 => {
                let mut length = [0; 8];
                reader.read_exact(&mut length).map_err(cut)?;
                u64::from_le_bytes(length)
            }
            0x95 => 8,
            // Text up to the end of the line: numbers, names, persistent ids; two lines for classes.
            b'F' | b'I' | b'L' | b'S' | b'V' | b'P' | b'g' | b'p' => {
                skip_line(reader)?;
                0
            }
            b'c' | b'i' => {
                skip_line(reader)?;
                skip_line(reader)?;
                0
            }
            _ => 0,
        };
        let skipped = std::io::copy(&mut reader.by_ref().take(length), &mut std::io::sink());
        if skipped.map_err(|error| error.to_string())? != length {
            return Err("its pickle is cut short".to_string());
        }
    }
}

fn skip_line(reader: &mut impl BufRead) -> Result<(), String> {
    let skipped = reader.skip_until(b'\n').map_err(|error| error.to_string())?;
    if skipped == 0 { Err("its pickle is cut short".to_string()) } else { Ok(()) }
}

#[cfg(test)]
mod tests {
    use std::io::Write;

    use super::*;

    fn check_bytes(bytes: &[u8]) -> Result<(), String> {
        let mut file = tempfile::NamedTempFile::new().unwrap();
        file.write_all(bytes).unwrap();
        check(file.path())
    }

    #[test]
    fn what_is_no_checkpoint_is_named() {
        let cases: [(&[u8], &str); 5] = [
            (b"", "empty"),
            (&[0x1f, 0x8b, 8, 0], "gzip"),
            (b"\x40\0\0\0\0\0\0\0{\"a\":", "safetensors"),
            (b"version https://git-lfs.github.com/spec/v1\n", "git lfs pull"),
            (b"<!DOCTYPE html>", "web page"),
        ];
        for (bytes, reason) in cases {
            let error = check_bytes(bytes).unwrap_err();
            assert!(error.contains(reason), "{error}");
        }
    }

    #[test]
    fn operations_are_counted_and_arguments_are_not() {
        let mut pickle = vec![0x80, 2];
        for _ in 0..1000 {
            pickle.extend(b"X\x05\0\0\0.....cposix\nsystem\nK.G........J....M..I12.\n\x8a\x02..");
        }
        pickle.push(b'.');
        check_bytes(&pickle).unwrap();
        // One byte less, and the last stop is missing.
        assert!(check_bytes(&pickle[..pickle.len() - 1]).unwrap_err().contains("cut short"));
        let many = [vec![0x80, 2], vec![b'N'; MAX_OPERATIONS], vec![b'.']].concat();
        assert!(check_bytes(&many).unwrap_err().contains("operations"));
    }

    #[test]
    fn lengths_beyond_the_file_are_refused() {
        for start in [&b"B\xff\xff\xff\xff"[..], b"\x8e\xff\xff\xff\xff\xff\xff\xff\xff", b"\x8b\0\0\0\x80"] {
            let pickle = [&[0x80, 4], start, b"abc."].concat();
            assert!(check_bytes(&pickle).unwrap_err().contains("cut short"));
        }
    }
}
