//! Configuration files (TOML) and `key=value` overrides on top of the defaults.

use std::fs::{self, File};
use std::io::Read;
use std::path::Path;

use toml::{Table, Value};

use crate::error::TrainerError;
use crate::settings::config::TrainConfig;

/// Keys that the serialised defaults do not show.
const OPTIONAL_KEYS: [&str; 10] = [
    "objective.kind",
    "nat.target_dim",
    "nat.exchange_every",
    "nat.learning_rate",
    "data.resize",
    "data.disk_cache",
    "data.shrink_to",
    "model.architecture",
    "clustering.num_clusters",
    "clustering.max_samples_per_cluster",
];

/// Most bytes of a file of settings; all settings with their comments take a few thousand.
const MAX_FILE_BYTES: u64 = 1 << 20;

impl TrainConfig {
    /// Reads a TOML file; keys it leaves out keep their defaults.
    ///
    /// # Errors
    /// [`TrainerError::UnreadableConfig`] for what is no file of text, or with the line;
    /// [`TrainerError::UnknownKey`] with the nearest valid key.
    pub fn load(path: &Path) -> Result<Self, TrainerError> {
        let origin = path.display().to_string();
        match read_text(path) {
            Ok(text) => Self::from_toml(&text, &origin),
            Err(reason) => Err(TrainerError::UnreadableConfig { origin, reason }),
        }
    }

    /// Reads TOML text; `origin` names it in errors.
    ///
    /// # Errors
    /// As [`TrainConfig::load`].
    pub fn from_toml(text: &str, origin: &str) -> Result<Self, TrainerError> {
        let unreadable =
            |reason: String| TrainerError::UnreadableConfig { origin: origin.to_string(), reason };
        let unparsed = |error: toml::de::Error| unreadable(with_line(text, &error));
        let table: Table = text.parse().map_err(unparsed)?;
        let known = known_keys();
        for key in keys_of(&table, "") {
            if !known.contains(&key) {
                return Err(unknown_key(&key, &known));
            }
        }
        toml::from_str(text).map_err(unparsed)
    }

    /// Sets one value by its dotted key, as in `clustering.num_clusters=100`. Text needs no quotes.
    ///
    /// # Errors
    /// [`TrainerError::UnknownKey`], or [`TrainerError::UnreadableConfig`] for a value of the wrong type.
    pub fn set(&mut self, assignment: &str) -> Result<(), TrainerError> {
        let origin = format!("setting {}", shortened(assignment));
        let unreadable = |reason: String| TrainerError::UnreadableConfig { origin: origin.clone(), reason };
        let (key, value) =
            assignment.split_once('=').ok_or_else(|| unreadable("write it as key=value".to_string()))?;
        let (key, value) = (key.trim(), value.trim());
        let known = known_keys();
        if !known.iter().any(|known| known == key) {
            return Err(unknown_key(key, &known));
        }
        let mut table = self.to_table();
        let as_text = Value::String(value.to_string());
        if is_beyond_toml(value) {
            return Err(unreadable(format!("the number is too large: at most {} is allowed", i64::MAX)));
        }
        // A value with a line break could bring keys of its own.
        let parsed = format!("value = {value}").parse::<Table>().ok().filter(|table| table.len() == 1);
        let parsed = parsed.and_then(|mut table| table.remove("value"));
        // A label file may be called `10`: what cannot be that type is tried as text.
        for value in [parsed, Some(as_text)].into_iter().flatten() {
            insert(&mut table, key, value);
            match table.clone().try_into() {
                Ok(config) => {
                    *self = config;
                    return Ok(());
                }
                Err(_) => continue,
            }
        }
        let error = match table.try_into::<TrainConfig>() {
            Ok(_) => "the value does not fit".to_string(),
            Err(error) => shortened(error.message()),
        };
        Err(unreadable(error))
    }

    /// The settings as TOML, as they are written into a run directory.
    ///
    /// # Panics
    /// For a number above 2^63, which TOML does not have and [`TrainConfig::validate`] refuses.
    pub fn to_toml(&self) -> String {
        toml::to_string_pretty(self).expect("plain fields always serialise")
    }

    /// The values by dotted key, for comparison and display.
    pub(crate) fn values(&self) -> Vec<(String, String)> {
        let table = self.to_table();
        keys_of(&table, "")
            .into_iter()
            .map(|key| {
                let value = lookup(&table, &key).map(|value| value.to_string()).unwrap_or_default();
                (key, value)
            })
            .collect()
    }

    fn to_table(&self) -> Table {
        Table::try_from(self).expect("plain fields always serialise")
    }
}

/// The text of a file, or why there is none.
fn read_text(path: &Path) -> Result<String, String> {
    let io = |error: std::io::Error| format!("cannot be read: {error}");
    let metadata = fs::metadata(path).map_err(io)?;
    if metadata.is_dir() {
        return Err("is a folder, not a file of settings".to_string());
    }
    if is_named_pipe(path, &metadata) {
        return Err("is a pipe, not a file of settings".to_string());
    }
    let mut bytes = Vec::new();
    File::open(path).and_then(|file| file.take(MAX_FILE_BYTES + 1).read_to_end(&mut bytes)).map_err(io)?;
    if bytes.len() as u64 > MAX_FILE_BYTES {
        return Err(format!("is larger than {MAX_FILE_BYTES} bytes: it is no file of settings"));
    }
    let text = String::from_utf8(bytes).map_err(|_| "is not text in UTF-8".to_string())?;
    // Some editors begin a file with a mark of its byte order.
    Ok(text.strip_prefix('\u{feff}').unwrap_or(&text).to_string())
}

/// Whether opening would wait for a writer who may never come. What a shell hands over as an open pipe has
/// one.
fn is_named_pipe(path: &Path, metadata: &fs::Metadata) -> bool {
    #[cfg(unix)]
    {
        use std::os::unix::fs::FileTypeExt;
        let is_handed_over = ["/dev/fd", "/dev/stdin", "/proc"].iter().any(|prefix| path.starts_with(prefix));
        metadata.file_type().is_fifo() && !is_handed_over
    }
    #[cfg(not(unix))]
    {
        let _ = (path, metadata);
        false
    }
}

/// The message of a parser in one line, after the number of the line it stopped at.
fn with_line(text: &str, error: &toml::de::Error) -> String {
    let message = shortened(&error.message().lines().collect::<Vec<_>>().join(", "));
    let Some(before) = error.span().and_then(|span| text.as_bytes().get(..span.start)) else {
        return message;
    };
    format!("line {}: {message}", before.iter().filter(|&&byte| byte == b'\n').count() + 1)
}

/// The beginning of a text that may be of any length.
fn shortened(text: &str) -> String {
    const MAX_CHARS: usize = 200;
    match text.char_indices().nth(MAX_CHARS) {
        Some((end, _)) => format!("{}...", &text[..end]),
        None => text.to_string(),
    }
}

/// Whether the text is a whole number that TOML does not have.
fn is_beyond_toml(text: &str) -> bool {
    let digits = text.strip_prefix(['+', '-']).unwrap_or(text);
    !digits.is_empty() && digits.bytes().all(|byte| byte.is_ascii_digit()) && text.parse::<i64>().is_err()
}

fn lookup(table: &Table, key: &str) -> Option<Value> {
    match key.split_once('.') {
        None => table.get(key).cloned(),
        Some((section, rest)) => lookup(table.get(section)?.as_table()?, rest),
    }
}

fn insert(table: &mut Table, key: &str, value: Value) {
    match key.split_once('.') {
        None => {
            table.insert(key.to_string(), value);
        }
        Some((section, rest)) => {
            let section = table.entry(section).or_insert_with(|| Value::Table(Table::new()));
            if let Value::Table(section) = section {
                insert(section, rest, value);
            }
        }
    }
}

fn known_keys() -> Vec<String> {
    let mut keys = keys_of(&TrainConfig::default().to_table(), "");
    keys.extend(OPTIONAL_KEYS.map(String::from));
    keys.sort();
    keys
}

fn keys_of(table: &Table, prefix: &str) -> Vec<String> {
    let mut keys = Vec::new();
    for (name, value) in table {
        let key = if prefix.is_empty() { name.clone() } else { format!("{prefix}.{name}") };
        match value {
            Value::Table(section) if prefix.is_empty() && !section.is_empty() => {
                keys.extend(keys_of(section, &key))
            }
            _ => keys.push(key),
        }
    }
    keys
}

fn unknown_key(key: &str, known: &[String]) -> TrainerError {
    let name = |key: &str| key.rsplit('.').next().unwrap_or_default().to_string();
    let likeness = |candidate: &String| {
        let (asked, known) = (name(key), name(candidate));
        let part: f64 = if known.contains(&asked) || asked.contains(&known) { 0.9 } else { 0.0 };
        part.max(strsim::jaro_winkler(&asked, &known)).max(strsim::jaro_winkler(key, candidate))
    };
    let nearest = known.iter().max_by(|a, b| likeness(a).total_cmp(&likeness(b)));
    let hint = match nearest {
        Some(nearest) if likeness(nearest) > 0.75 => format!("; did you mean '{nearest}'?"),
        _ => format!("; the keys are {}", known.join(", ")),
    };
    TrainerError::UnknownKey { key: shortened(key), hint }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn a_written_configuration_reads_back_the_same() {
        let mut config = TrainConfig::default();
        config.set("clustering.num_clusters=77").unwrap();
        config.set("model.architecture=vgg16").unwrap();
        assert_eq!(TrainConfig::from_toml(&config.to_toml(), "test").unwrap(), config);
    }

    #[test]
    fn left_out_keys_keep_their_defaults() {
        let config = TrainConfig::from_toml("[training]\nepochs = 3\n", "test").unwrap();
        assert_eq!(config.training.epochs, 3);
        assert_eq!(config.training.batch_size, TrainConfig::default().training.batch_size);
    }

    #[test]
    fn unknown_keys_are_refused_with_the_nearest() {
        let error = TrainConfig::from_toml("[training]\nepoch = 3\n", "test").unwrap_err().to_string();
        assert!(error.contains("'training.epochs'"), "{error}");
        let error = TrainConfig::from_toml("clusters = 3\n", "test").unwrap_err().to_string();
        assert!(error.contains("'clustering.num_clusters'"), "{error}");
        let error = TrainConfig::default().set("training.lerning_rate=1").unwrap_err().to_string();
        assert!(error.contains("'training.learning_rate'"), "{error}");
    }

    #[test]
    fn what_is_no_file_of_settings_is_named_with_the_reason() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("settings.toml");
        let reason = || {
            let error = TrainConfig::load(&path).unwrap_err();
            assert!(matches!(error, TrainerError::UnreadableConfig { .. }), "{error}");
            let text = error.to_string();
            assert!(text.contains("settings.toml"), "{text}");
            text
        };
        assert!(reason().contains("cannot be read"));
        for (bytes, words) in [
            (&b"seed = 3\nseed = 4\n"[..], "duplicate key"),
            (b"[training]\nepochs = 3\n[training]\nepochs = 4\n", "duplicate key"),
            (b"seed = \"caf\xe9\"", "UTF-8"),
            (b"seed = 18446744073709551616", ""),
            (b"[training]\nlearning_rate = \n", "line 2"),
        ] {
            fs::write(&path, bytes).unwrap();
            assert!(reason().contains(words), "{}", reason());
        }
        fs::write(&path, "\u{feff}seed = 7\n").unwrap();
        assert_eq!(TrainConfig::load(&path).unwrap().seed, 7);
        let file = File::create(&path).unwrap();
        file.set_len(10_000_000_000).unwrap();
        assert!(reason().contains("larger than 1048576 bytes"));
        fs::remove_file(&path).unwrap();
        fs::create_dir(&path).unwrap();
        assert!(reason().contains("is a folder"));
    }

    #[cfg(unix)]
    #[test]
    fn a_pipe_without_a_writer_is_not_waited_for() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("settings.toml");
        let made = std::process::Command::new("mkfifo").arg(&path).status();
        if !made.is_ok_and(|status| status.success()) {
            return;
        }
        let error = TrainConfig::load(&path).unwrap_err().to_string();
        assert!(error.contains("is a pipe"), "{error}");
    }

    #[test]
    fn numbers_that_toml_lacks_are_told_with_the_largest() {
        for value in ["18446744073709551615", "9223372036854775808", "-99999999999999999999"] {
            let error = TrainConfig::default().set(&format!("seed={value}")).unwrap_err().to_string();
            assert!(error.contains("at most 9223372036854775807"), "{error}");
        }
        // A value brings no keys along.
        assert!(TrainConfig::default().set("seed=1\ntraining.epochs=2").is_err());
    }

    #[test]
    fn text_nested_beyond_any_use_is_refused() {
        let refused = |outcome: Result<(), TrainerError>| {
            let message = outcome.unwrap_err().to_string();
            assert!(message.len() < 3000 && message.lines().count() == 1, "{message}");
        };
        let deep = "[".repeat(100_000);
        for text in
            [format!("seed = {deep}"), deep.clone(), "a.".repeat(50_000) + "b = 1", "x = {a=".repeat(9_000)]
        {
            refused(TrainConfig::from_toml(&text, "test").map(|_| ()));
            refused(TrainConfig::default().set(&text));
        }
        refused(TrainConfig::default().set(&format!("seed={deep}")));
    }

    /// Texts that look like settings more or less.
    fn any_line() -> impl Strategy<Value = String> {
        let names: Vec<String> = known_keys().into_iter().chain(["x".into(), "training".into()]).collect();
        let value = prop_oneof![
            "-?[0-9]{1,22}",
            "-?[0-9]{1,3}\\.[0-9]{1,3}(e-?[0-9]{1,3})?",
            "(nan|inf|-inf|true|false|-0\\.0)",
            "\"\\PC{0,8}\"",
            "\\PC{0,12}",
        ];
        (prop::sample::select(names), value, "[ =\\[\\]\n.]{0,3}")
            .prop_map(|(name, value, noise)| format!("{name}{noise}={value}"))
    }

    proptest! {
        #![proptest_config(ProptestConfig { cases: 512, failure_persistence: None, ..Default::default() })]

        #[test]
        fn any_text_is_settings_that_read_back_or_an_error(lines in prop::collection::vec(any_line(), 0..4)) {
            let dotted = TrainConfig::from_toml(&lines.join("\n"), "test");
            let mut set = TrainConfig::default();
            let outcomes: Vec<_> = lines.iter().map(|line| set.set(line)).collect();
            for config in dotted.into_iter().chain(outcomes.iter().any(Result::is_ok).then_some(set)) {
                if config.validate().is_ok() {
                    prop_assert_eq!(TrainConfig::from_toml(&config.to_toml(), "test").unwrap(), config);
                }
            }
        }

        #[test]
        fn any_bytes_after_a_key_are_a_value_or_an_error(
            key in prop::sample::select(known_keys()),
            value in "(?s).{0,40}",
        ) {
            let mut config = TrainConfig::default();
            if config.set(&format!("{key}={value}")).is_ok() && config.validate().is_ok() {
                prop_assert_eq!(TrainConfig::from_toml(&config.to_toml(), "test").unwrap(), config);
            }
        }
    }

    #[test]
    fn values_of_the_wrong_type_are_refused() {
        let error = TrainConfig::default().set("training.epochs=many").unwrap_err().to_string();
        assert!(error.contains("training.epochs=many"), "{error}");
        assert!(TrainConfig::from_toml("[training]\nepochs = -1\n", "test").is_err());
        assert!(TrainConfig::from_toml("training = 3", "test").is_err());
        assert!(TrainConfig::from_toml("not toml", "test").is_err());
    }
}
