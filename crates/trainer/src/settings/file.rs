//! Settings as TOML.

use std::fs::{self, File};
use std::io::Read;
use std::path::Path;

use serde::{Serialize, Serializer};
use toml::{Table, Value};

use crate::error::TrainerError;
use crate::settings::config::TrainConfig;
use crate::settings::list::plain;
use crate::settings::overrides::{Overrides, shortened};
use crate::settings::schema::Walk;

/// Most bytes of a file of settings; all settings with their comments take a few thousand.
const MAX_FILE_BYTES: u64 = 1 << 20;

/// A setting and its value.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Row {
    pub(crate) key: String,
    /// `None` where it is not set.
    pub(crate) value: Option<Value>,
    pub(crate) changeable: bool,
}

impl Row {
    /// The value without the quotes of TOML.
    pub(crate) fn text(&self) -> String {
        self.value.as_ref().map_or("not set".to_string(), plain)
    }
}

impl TrainConfig {
    /// Reads a TOML file; keys it leaves out keep their defaults.
    ///
    /// # Errors
    /// Those of [`Overrides::load`] and [`Overrides::apply`].
    pub fn load(path: &Path) -> Result<Self, TrainerError> {
        let mut overrides = Overrides::default();
        overrides.load(path)?;
        Self::from_overrides(&overrides)
    }

    /// Reads TOML text; `origin` names it in errors.
    ///
    /// # Errors
    /// As [`TrainConfig::load`].
    pub fn from_toml(text: &str, origin: &str) -> Result<Self, TrainerError> {
        let mut overrides = Overrides::default();
        overrides.add_toml(text, origin)?;
        Self::from_overrides(&overrides)
    }

    pub(crate) fn from_overrides(overrides: &Overrides) -> Result<Self, TrainerError> {
        let mut config = Self::default();
        overrides.apply(&mut config)?;
        Ok(config)
    }

    /// Sets one value by its dotted key, as in `training.epochs=100`. Text needs no quotes.
    ///
    /// # Errors
    /// Those of [`Overrides::set`] and [`Overrides::apply`].
    pub fn set(&mut self, assignment: &str) -> Result<(), TrainerError> {
        let mut overrides = Overrides::default();
        overrides.set(assignment)?;
        overrides.apply(self)
    }

    /// The settings as TOML, as they are written into a run directory.
    pub fn to_toml(&self) -> String {
        let mut tables: Vec<(String, String)> = Vec::new();
        for Row { key, value, .. } in self.rows() {
            let Some(value) = value else { continue };
            let (table, name) = key.rsplit_once('.').unwrap_or(("", &key));
            let line = format!("{name} = {value}\n");
            match tables.iter_mut().find(|(known, _)| known == table) {
                Some((_, lines)) => lines.push_str(&line),
                None => tables.push((table.to_string(), line)),
            }
        }
        let titled = |(table, lines): (String, String)| {
            if table.is_empty() { lines } else { format!("[{table}]\n{lines}") }
        };
        tables.into_iter().map(titled).collect::<Vec<_>>().join("\n")
    }

    /// All settings in the order of files.
    pub(crate) fn rows(&self) -> Vec<Row> {
        let mut rows = Vec::new();
        Walk::over(&mut self.clone(), &mut |setting| {
            let changeable = setting.entry.limits.changeable;
            rows.push(Row { key: setting.key, value: setting.value.to_toml(), changeable });
        });
        rows
    }
}

impl Serialize for TrainConfig {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut table = Table::new();
        for Row { key, value, .. } in self.rows() {
            if let Some(value) = value {
                insert(&mut table, &key, value);
            }
        }
        table.serialize(serializer)
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

/// The values of a table and of those in it by their dotted keys. An empty table is a value.
pub(crate) fn flat(table: &Table) -> Vec<(String, Value)> {
    let mut values = Vec::new();
    for (name, value) in table {
        match value {
            Value::Table(section) if !section.is_empty() => {
                let inner = flat(section).into_iter();
                values.extend(inner.map(|(key, value)| (format!("{name}.{key}"), value)));
            }
            value => values.push((name.clone(), value.clone())),
        }
    }
    values
}

/// The text of a file, or why there is none.
pub(crate) fn read_text(path: &Path) -> Result<String, String> {
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
        return Err(format!("is larger than {MAX_FILE_BYTES} bytes: it is not a file of settings"));
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
pub(crate) fn with_line(text: &str, error: &toml::de::Error) -> String {
    let message = shortened(&error.message().lines().collect::<Vec<_>>().join(", "));
    let Some(before) = error.span().and_then(|span| text.as_bytes().get(..span.start)) else {
        return message;
    };
    format!("line {}: {message}", before.iter().filter(|&&byte| byte == b'\n').count() + 1)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::settings::list::all_settings;

    #[test]
    fn a_written_configuration_reads_back_the_same() {
        let mut config = TrainConfig::default();
        config.set("objective.clustering.num_clusters=77").unwrap();
        config.set("network.kind=vgg16").unwrap();
        let text = config.to_toml();
        assert_eq!(TrainConfig::from_toml(&text, "test").unwrap(), config);
        assert!(
            text.starts_with("seed = 31\n\n[objective]\nkind = \"deepcluster\"\nlearning_rate = 0.05\n"),
            "{text}"
        );
        let json = serde_json::to_value(&config).unwrap();
        assert_eq!(json["objective"]["clustering"]["num_clusters"], 77);
    }

    #[test]
    fn left_out_keys_keep_their_defaults() {
        let config = TrainConfig::from_toml("[images]\n[training]\nepochs = 3\n", "test").unwrap();
        assert_eq!(config.training.epochs, 3);
        assert_eq!(config.training.batch_size, TrainConfig::default().training.batch_size);
    }

    #[test]
    fn what_is_not_a_file_of_settings_is_named_with_the_reason() {
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
            (b"[training]\nepochs = \"many\"\n", "training.epochs: invalid type"),
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
    fn text_nested_beyond_any_use_is_refused() {
        let refused = |outcome: Result<(), TrainerError>| {
            let message = outcome.unwrap_err().to_string();
            assert!(message.len() < 4000 && message.lines().count() == 1, "{message}");
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

    fn keys() -> Vec<String> {
        all_settings().into_iter().map(|setting| setting.key).collect()
    }

    /// Texts that look like settings more or less.
    fn any_line() -> impl Strategy<Value = String> {
        let names: Vec<String> = keys().into_iter().chain(["x".into(), "training".into()]).collect();
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
            key in prop::sample::select(keys()),
            value in "(?s).{0,40}",
        ) {
            let mut config = TrainConfig::default();
            if config.set(&format!("{key}={value}")).is_ok() && config.validate().is_ok() {
                prop_assert_eq!(TrainConfig::from_toml(&config.to_toml(), "test").unwrap(), config);
            }
        }
    }

    #[test]
    fn values_in_the_place_of_tables_are_refused() {
        for text in ["[training]\nepochs = -1\n", "training = 3", "not toml", "[train]\n", "seed = {a = 1}"] {
            assert!(TrainConfig::from_toml(text, "test").is_err(), "{text}");
        }
    }
}
