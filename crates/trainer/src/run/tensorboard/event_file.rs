//! An event file: records that are appended whole and checked by their sums.

use std::fs::{self, File, OpenOptions};
use std::io::{self, ErrorKind, Seek, SeekFrom, Write};
use std::path::Path;
use std::time::{SystemTime, UNIX_EPOCH};

use deepcluster_files::{create_folder, sync_folder};
use prost::Message;

use super::messages::{Event, Summary, What};
use super::summaries::{config_summary, epoch_summary};
use crate::metrics::{EpochMetrics, EpochTimings};
use crate::settings::config::TrainConfig;

/// TensorBoard knows its files by `tfevents` in their names.
const NAME: &str = "events.out.tfevents.deepcluster";

/// Length and its sum before the contents, and their sum after them.
const HEADER_BYTES: usize = 12;
const FOOTER_BYTES: usize = 4;

/// The version stated by the first record.
const VERSION: &str = "brain.Event:2";

/// Records before those of the epochs: the version and the settings.
const NUM_HEADER_RECORDS: usize = 2;

/// The epochs of a run, as `metrics.jsonl` and `timings.jsonl` hold them.
#[derive(Debug, Default)]
pub(crate) struct History {
    pub(crate) metrics: Vec<EpochMetrics>,
    pub(crate) timings: Vec<EpochTimings>,
}

/// The event file of a run, open at its end. The step of a point is its epoch.
#[derive(Debug)]
pub(crate) struct EventFile {
    file: File,
}

impl EventFile {
    /// Opens the file in `folder`, or creates it, with the points of the epochs of `history` before `epoch`.
    ///
    /// Points that an earlier process wrote from `epoch` on, and a record that it did not finish, are cut
    /// off, and epochs that are missing, from the first gap or damage on, are written anew: a resumed run has
    /// the points of one that never stopped, whatever a power cut left of the file.
    pub(crate) fn open(
        folder: &Path,
        epoch: usize,
        config: &TrainConfig,
        history: &History,
    ) -> io::Result<Self> {
        create_folder(folder)?;
        let path = folder.join(NAME);
        let bytes = match fs::metadata(&path) {
            Ok(metadata) if metadata.is_file() => fs::read(&path)?,
            Ok(_) => return Err(io::Error::other(format!("{} is not a file", path.display()))),
            Err(error) if error.kind() == ErrorKind::NotFound => Vec::new(),
            Err(error) => return Err(error),
        };
        let kept = kept_part(&bytes, epoch);
        let mut file = OpenOptions::new().create(true).truncate(false).write(true).open(&path)?;
        file.set_len(kept.length as u64)?;
        file.seek(SeekFrom::End(0))?;
        let mut events = Self { file };
        if kept.length == 0 {
            events.append(0, What::FileVersion(VERSION.to_string()))?;
            events.append(0, What::Summary(config_summary(config)))?;
        }
        for metrics in
            history.metrics.iter().filter(|metrics| (kept.num_epochs..epoch).contains(&metrics.epoch))
        {
            let timings = history.timings.iter().find(|timings| timings.epoch == metrics.epoch);
            let summary = epoch_summary(metrics, timings, config.objective.learning_rate());
            events.append(metrics.epoch, What::Summary(summary))?;
        }
        events.file.sync_all()?;
        sync_folder(folder)?;
        Ok(events)
    }

    /// Adds the points of an epoch, which are on the disk when this returns.
    pub(crate) fn log_epoch(
        &mut self,
        metrics: &EpochMetrics,
        timings: &EpochTimings,
        learning_rate: f64,
    ) -> io::Result<()> {
        let summary: Summary = epoch_summary(metrics, Some(timings), learning_rate);
        self.append(metrics.epoch, What::Summary(summary))?;
        self.file.sync_data()
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

/// The intact beginning of a file.
#[derive(Debug, Default, PartialEq, Eq)]
struct KeptPart {
    /// In bytes; 0 where not even the records before the first epoch are whole.
    length: usize,
    /// Epochs in it, from the first, without a gap.
    num_epochs: usize,
}

/// The part of `bytes` that can be kept for a file with the epochs before `epoch`.
fn kept_part(bytes: &[u8], epoch: usize) -> KeptPart {
    let mut kept = KeptPart::default();
    if epoch == 0 {
        // Begun anew, with settings that may be others.
        return kept;
    }
    let (mut position, mut num_records) = (0, 0);
    while let Some((contents, length)) = first_record(&bytes[position..]) {
        let Ok(event) = Event::decode(contents) else { break };
        let expected_step = num_records.max(NUM_HEADER_RECORDS) - NUM_HEADER_RECORDS;
        let is_expected = event.step == expected_step as i64
            && match &event.what {
                Some(What::FileVersion(version)) => num_records == 0 && version == VERSION,
                Some(What::Summary(_)) => num_records > 0,
                None => false,
            };
        if !is_expected || num_records == NUM_HEADER_RECORDS + epoch {
            break;
        }
        position += length;
        num_records += 1;
        if num_records >= NUM_HEADER_RECORDS {
            kept = KeptPart { length: position, num_epochs: num_records - NUM_HEADER_RECORDS };
        }
    }
    kept
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::run::tensorboard::messages::Content;

    fn metrics(epoch: usize, loss: Option<f64>) -> EpochMetrics {
        EpochMetrics {
            epoch,
            loss,
            nmi_to_previous: (epoch > 0).then_some(0.5),
            labels: None,
            knn_accuracy: None,
            inertia: Some(10.0),
            num_clusters: 2,
            num_empty: 0,
            cluster_sizes: vec![3, 4],
            num_images: 7,
            num_samples: 7,
            num_components: 2,
            measures: Default::default(),
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

    /// Epochs 0 to 3, of which the last has no training.
    fn history() -> History {
        let metrics: Vec<EpochMetrics> =
            (0..4).map(|epoch| metrics(epoch, (epoch < 3).then_some(1.0 / (epoch + 1) as f64))).collect();
        let timings = (0..4).map(|epoch| EpochTimings { epoch, ..EpochTimings::default() }).collect();
        History { metrics, timings }
    }

    fn log(folder: &Path, first: usize, last: usize) {
        let history = history();
        let mut file = EventFile::open(folder, first, &TrainConfig::default(), &history).unwrap();
        for epoch in first..=last {
            file.log_epoch(&history.metrics[epoch], &history.timings[epoch], 0.05).unwrap();
        }
    }

    #[test]
    fn the_sum_is_that_of_tensorflow() {
        // The twelve bytes with which the first record of every event file of TensorFlow begins: a version of
        // 24 bytes.
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
    fn epochs_that_a_power_cut_took_are_written_anew() {
        let whole = tempfile::tempdir().unwrap();
        log(whole.path(), 0, 3);
        let bytes = fs::read(whole.path().join(NAME)).unwrap();
        let mut zeros = bytes.clone();
        let middle = bytes.len() / 2;
        zeros[middle..].fill(0);
        let damaged: [(&str, &[u8]); 5] = [
            ("emptied", &[]),
            ("cut within the settings", &bytes[..60]),
            ("cut within an epoch", &bytes[..middle]),
            ("of zeros at its end", &zeros),
            ("of another program", &[0xff; 100]),
        ];
        for (name, left) in damaged {
            for first in 1..=3 {
                let folder = tempfile::tempdir().unwrap();
                fs::write(folder.path().join(NAME), left).unwrap();
                log(folder.path(), first, 3);
                assert_eq!(read(folder.path()), read(whole.path()), "{name}, resumed at {first}");
            }
        }
        // Removed with its folder, and with an epoch missing in between.
        let folder = tempfile::tempdir().unwrap();
        log(&folder.path().join("tensorboard"), 2, 3);
        assert_eq!(read(&folder.path().join("tensorboard")), read(whole.path()));
        let lengths: Vec<usize> = record_lengths(&bytes);
        let second_epoch: usize = lengths[..3].iter().sum();
        let gap = [&bytes[..second_epoch], &bytes[second_epoch + lengths[3]..]].concat();
        fs::write(folder.path().join(NAME), gap).unwrap();
        log(folder.path(), 3, 3);
        assert_eq!(read(folder.path()), read(whole.path()));
    }

    #[test]
    fn a_folder_in_place_of_the_file_is_an_error() {
        let folder = tempfile::tempdir().unwrap();
        fs::create_dir(folder.path().join(NAME)).unwrap();
        let error =
            EventFile::open(folder.path(), 0, &TrainConfig::default(), &History::default()).unwrap_err();
        assert!(error.to_string().contains("is not a file"), "{error}");
    }

    fn record_lengths(bytes: &[u8]) -> Vec<usize> {
        let (mut position, mut lengths) = (0, Vec::new());
        while let Some((_, length)) = first_record(&bytes[position..]) {
            lengths.push(length);
            position += length;
        }
        lengths
    }

    proptest! {
        #![proptest_config(ProptestConfig { cases: 256, failure_persistence: None, ..Default::default() })]

        #[test]
        fn whole_records_of_damaged_bytes_are_kept_and_no_more(
            changes in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 0..4),
            cut in any::<prop::sample::Index>(),
            epoch in 0_usize..6,
        ) {
            let folder = tempfile::tempdir().unwrap();
            log(folder.path(), 0, 3);
            let whole = fs::read(folder.path().join(NAME)).unwrap();
            let mut bytes = whole[..cut.index(whole.len() + 1)].to_vec();
            for (at, value) in changes {
                if !bytes.is_empty() {
                    let at = at.index(bytes.len());
                    bytes[at] = value;
                }
            }
            let kept = kept_part(&bytes, epoch);
            prop_assert!(kept.length <= bytes.len() && kept.num_epochs <= epoch.min(4));
            // Checksums detect every changed byte, so only what was written is kept.
            prop_assert_eq!(&bytes[..kept.length], &whole[..kept.length]);
        }

        #[test]
        fn any_bytes_are_read_without_a_panic(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
            prop_assert_eq!(kept_part(&bytes, 3), KeptPart::default());
        }
    }
}
