//! An event file: records that are appended whole and checked by their sums.

use std::fs::{self, File, OpenOptions};
use std::io::{self, ErrorKind, Seek, SeekFrom, Write};
use std::path::Path;
use std::time::{SystemTime, UNIX_EPOCH};

use prost::Message;

use super::messages::{Event, Summary, What};
use super::summaries::{config_summary, epoch_summary};
use crate::config::TrainConfig;
use crate::metrics::{EpochMetrics, EpochTimings};

/// TensorBoard knows its files by `tfevents` in their names.
const NAME: &str = "events.out.tfevents.deepcluster";

/// Length and its sum before the contents, and their sum after them.
const HEADER_BYTES: usize = 12;
const FOOTER_BYTES: usize = 4;

/// The event file of a run, open at its end. The step of a point is its epoch.
#[derive(Debug)]
pub(crate) struct EventFile {
    file: File,
}

impl EventFile {
    /// Opens the file in `folder`, or creates it. What an earlier process wrote from `epoch` on, and a record that it
    /// did not finish, are cut off, so that a resumed run has the points of one that never stopped.
    pub(crate) fn open(folder: &Path, epoch: usize, config: &TrainConfig) -> io::Result<Self> {
        fs::create_dir_all(folder)?;
        let path = folder.join(NAME);
        let kept = match fs::read(&path) {
            Ok(bytes) => kept_length(&bytes, epoch),
            Err(error) if error.kind() == ErrorKind::NotFound => 0,
            Err(error) => return Err(error),
        };
        let mut file = OpenOptions::new().create(true).truncate(false).write(true).open(&path)?;
        file.set_len(kept as u64)?;
        file.seek(SeekFrom::End(0))?;
        let mut events = Self { file };
        if kept == 0 {
            events.append(0, What::FileVersion("brain.Event:2".to_string()))?;
            events.append(0, What::Summary(config_summary(config)))?;
        }
        Ok(events)
    }

    /// Adds the points of an epoch.
    pub(crate) fn log_epoch(
        &mut self,
        metrics: &EpochMetrics,
        timings: &EpochTimings,
        learning_rate: f64,
    ) -> io::Result<()> {
        let summary: Summary = epoch_summary(metrics, timings, learning_rate);
        self.append(metrics.epoch, What::Summary(summary))
    }

    fn append(&mut self, epoch: usize, what: What) -> io::Result<()> {
        let wall_time = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0.0, |time| time.as_secs_f64());
        let event = Event { wall_time, step: epoch as i64, what: Some(what) };
        self.file.write_all(&record(&event.encode_to_vec()))
    }
}

/// The bytes of a record with these contents.
fn record(contents: &[u8]) -> Vec<u8> {
    let length = (contents.len() as u64).to_le_bytes();
    let mut bytes = Vec::with_capacity(HEADER_BYTES + contents.len() + FOOTER_BYTES);
    bytes.extend(length);
    bytes.extend(masked_sum(&length).to_le_bytes());
    bytes.extend(contents);
    bytes.extend(masked_sum(contents).to_le_bytes());
    bytes
}

/// CRC-32C, turned and shifted, since sums of sums are weak.
fn masked_sum(bytes: &[u8]) -> u32 {
    crc32c::crc32c(bytes).rotate_right(15).wrapping_add(0xa282_ead8)
}

/// Contents of the first record of `bytes` and the length of the record, or `None` where it is not whole.
fn first_record(bytes: &[u8]) -> Option<(&[u8], usize)> {
    let (length, rest) = bytes.split_first_chunk::<8>()?;
    let (sum, rest) = rest.split_first_chunk::<4>()?;
    if masked_sum(length) != u32::from_le_bytes(*sum) {
        return None;
    }
    let length = usize::try_from(u64::from_le_bytes(*length)).ok()?;
    let contents = rest.get(..length)?;
    let sum = rest[length..].first_chunk::<4>()?;
    let is_whole = masked_sum(contents) == u32::from_le_bytes(*sum);
    is_whole.then_some((contents, HEADER_BYTES + length + FOOTER_BYTES))
}

/// Bytes of the whole records before `epoch`.
fn kept_length(bytes: &[u8], epoch: usize) -> usize {
    if epoch == 0 {
        return 0;
    }
    let mut position = 0;
    while let Some((contents, length)) = first_record(&bytes[position..]) {
        if !Event::decode(contents).is_ok_and(|event| event.step < epoch as i64) {
            break;
        }
        position += length;
    }
    position
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]

    use super::*;
    use crate::tensorboard::messages::Content;

    fn metrics(epoch: usize, loss: Option<f64>) -> EpochMetrics {
        EpochMetrics {
            epoch,
            loss,
            nmi_to_previous: (epoch > 0).then_some(0.5),
            labels: None,
            knn_accuracy: None,
            inertia: 10.0,
            num_clusters: 2,
            num_empty: 0,
            cluster_sizes: vec![3, 4],
            num_images: 7,
            num_samples: 7,
            num_components: 2,
        }
    }

    /// Every event but for its time.
    fn read(folder: &Path) -> Vec<Event> {
        let bytes = fs::read(folder.join(NAME)).unwrap();
        let (mut position, mut events) = (0, Vec::new());
        while let Some((contents, length)) = first_record(&bytes[position..]) {
            events.push(Event { wall_time: 0.0, ..Event::decode(contents).unwrap() });
            position += length;
        }
        assert_eq!(position, bytes.len(), "a record is not whole");
        events
    }

    fn log(folder: &Path, first: usize, last: usize) {
        let mut file = EventFile::open(folder, first, &TrainConfig::default()).unwrap();
        for epoch in first..=last {
            let metrics = metrics(epoch, (epoch < 3).then_some(1.0 / (epoch + 1) as f64));
            file.log_epoch(&metrics, &EpochTimings::default(), 0.05).unwrap();
        }
    }

    #[test]
    fn the_sum_is_that_of_tensorflow() {
        // The twelve bytes with which the first record of every event file of TensorFlow begins: a version of 24 bytes.
        assert_eq!(masked_sum(&24_u64.to_le_bytes()).to_le_bytes(), [0xa3, 0x7f, 0x4b, 0x22]);
    }

    #[test]
    fn a_file_tells_its_version_the_settings_and_the_epochs() {
        let folder = tempfile::tempdir().unwrap();
        log(folder.path(), 0, 3);
        let events = read(folder.path());
        assert_eq!(events.len(), 2 + 4);
        assert_eq!(events[0].what, Some(What::FileVersion("brain.Event:2".to_string())));
        let scalar = |event: &Event, tag: &str| {
            let Some(What::Summary(summary)) = &event.what else { return None };
            let value = summary.values.iter().find(|value| value.tag == tag)?;
            if let Some(Content::Scalar(number)) = value.content { Some(number) } else { None }
        };
        assert_eq!(scalar(&events[3], "train/loss"), Some(0.5));
        assert_eq!(scalar(&events[5], "train/loss"), None);
        assert_eq!(scalar(&events[2], "clusters/nmi_to_previous"), None);
        assert_eq!(scalar(&events[5], "clusters/nmi_to_previous"), Some(0.5));
    }

    #[test]
    fn a_resumed_file_has_the_points_of_an_uninterrupted_one() {
        let (whole, resumed) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        log(whole.path(), 0, 3);
        // Killed in the middle of the record of epoch 2, and resumed there.
        log(resumed.path(), 0, 2);
        let path = resumed.path().join(NAME);
        let bytes = fs::read(&path).unwrap();
        fs::write(&path, &bytes[..bytes.len() - 5]).unwrap();
        log(resumed.path(), 2, 3);
        assert_eq!(read(resumed.path()), read(whole.path()));
        // Resumed from an older checkpoint than the last point.
        log(resumed.path(), 1, 3);
        assert_eq!(read(resumed.path()), read(whole.path()));
        // Begun anew.
        log(resumed.path(), 0, 3);
        assert_eq!(read(resumed.path()), read(whole.path()));
    }

    #[test]
    fn any_bytes_can_be_opened() {
        let folder = tempfile::tempdir().unwrap();
        fs::write(folder.path().join(NAME), [0xff; 100]).unwrap();
        log(folder.path(), 2, 3);
        assert_eq!(read(folder.path()).len(), 2 + 2);
    }
}
