//! Settings as options of the program: their names are here, help and defaults come from the schema.

use std::path::PathBuf;

use clap::builder::ValueParser;
use clap::{Arg, ArgAction, ArgMatches, Args, Command, FromArgMatches};
use deepcluster::trainer::{Overrides, SettingHelp, TrainConfig, TrainerError, all_settings};

const CLUSTERS: &str = "clusters";

/// The settings that have an option of their own: its name, its letter, and the key.
const OPTIONS: [(&str, Option<char>, &str); 10] = [
    (CLUSTERS, Some('k'), "objective.clustering.num_clusters"),
    ("objective", None, "objective.kind"),
    ("arch", None, "network.kind"),
    ("image-size", None, "images.size"),
    ("clustering", None, "objective.clustering.algorithm"),
    ("epochs", Some('e'), "training.epochs"),
    ("batch-size", None, "training.batch_size"),
    ("learning-rate", None, "objective.learning_rate"),
    ("seed", None, "seed"),
    ("labels", None, "images.labels"),
];

/// All settings.
pub(crate) type Settings = SettingOptions<true>;

/// All settings, the number of clusters without its option.
pub(crate) type SettingsButClusters = SettingOptions<false>;

/// Settings of a run. Options override the file, --set overrides both.
#[derive(Debug, Default)]
pub(crate) struct SettingOptions<const WITH_CLUSTERS: bool> {
    config: Option<PathBuf>,
    /// Keys and values.
    options: Vec<(&'static str, String)>,
    set: Vec<String>,
}

impl<const WITH_CLUSTERS: bool> SettingOptions<WITH_CLUSTERS> {
    /// The settings of a new run.
    pub(crate) fn config(&self) -> Result<TrainConfig, TrainerError> {
        let mut config = TrainConfig::default();
        self.change(&mut config)?;
        Ok(config)
    }

    /// Applies the file, the options and --set to the settings of a run.
    pub(crate) fn change(&self, config: &mut TrainConfig) -> Result<(), TrainerError> {
        let mut overrides = Overrides::default();
        if let Some(path) = &self.config {
            overrides.load(path)?;
        }
        for (key, value) in &self.options {
            overrides.set(&format!("{key}={value}"))?;
        }
        self.set.iter().try_for_each(|assignment| overrides.set(assignment))?;
        overrides.apply(config)
    }

    fn options() -> impl Iterator<Item = (&'static str, Option<char>, &'static str)> {
        OPTIONS.into_iter().filter(|(name, ..)| WITH_CLUSTERS || *name != CLUSTERS)
    }
}

impl<const WITH_CLUSTERS: bool> Args for SettingOptions<WITH_CLUSTERS> {
    fn augment_args(command: Command) -> Command {
        let all = all_settings();
        let config = Arg::new("config").long("config").short('c').value_name("FILE");
        let config = config.value_parser(ValueParser::path_buf());
        let mut command =
            command.arg(config.help("TOML file with settings; what it leaves out keeps its value"));
        for (name, letter, key) in Self::options() {
            let option = Arg::new(name).long(name).value_name(name.to_uppercase().replace('-', "_"));
            let option = option.allow_negative_numbers(true).help(help(&all, key));
            command = command.arg(match letter {
                Some(letter) => option.short(letter),
                None => option,
            });
        }
        let set = Arg::new("set").long("set").value_name("KEY=VALUE").action(ArgAction::Append);
        command.arg(set.help("Any setting by its key, as in --set objective.whitening.num_components=128"))
    }

    fn augment_args_for_update(command: Command) -> Command {
        Self::augment_args(command)
    }
}

impl<const WITH_CLUSTERS: bool> FromArgMatches for SettingOptions<WITH_CLUSTERS> {
    fn from_arg_matches(matches: &ArgMatches) -> Result<Self, clap::Error> {
        let mut settings = Self::default();
        settings.update_from_arg_matches(matches)?;
        Ok(settings)
    }

    fn update_from_arg_matches(&mut self, matches: &ArgMatches) -> Result<(), clap::Error> {
        self.config = matches.get_one("config").cloned();
        self.options = Self::options()
            .filter_map(|(name, _, key)| Some((key, matches.get_one::<String>(name)?.clone())))
            .collect();
        self.set = matches.get_many("set").into_iter().flatten().cloned().collect();
        Ok(())
    }
}

/// The help of a setting with what is allowed and the default, or the defaults where they depend on a choice.
fn help(all: &[SettingHelp], key: &str) -> String {
    let found: Vec<&SettingHelp> = all.iter().filter(|setting| setting.key == key).collect();
    let Some(first) = found.first() else { return String::new() };
    let allowed = if first.allowed.is_empty() { String::new() } else { format!(" ({})", first.allowed) };
    let default = |setting: &&SettingHelp| match &setting.owners[..] {
        [] => setting.default.clone(),
        owners => format!("{} for {}", setting.default, owners.join(", ")),
    };
    let defaults = found.iter().map(default).collect::<Vec<_>>().join(", ");
    format!("{}{allowed} [default: {defaults}]", first.help)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_option_is_a_setting_and_has_its_help() {
        let all = all_settings();
        for (name, _, key) in OPTIONS {
            assert!(all.iter().any(|setting| setting.key == key), "--{name}: there is no setting {key}");
        }
        assert!(help(&all, "training.epochs").ends_with("(0 to 99999) [default: 200]"));
        assert!(help(&all, "objective.learning_rate").ends_with("0.05 for deepcluster, 0.01 for nat]"));
        assert!(help(&all, "objective.kind").ends_with("(deepcluster, nat) [default: deepcluster]"));
    }
}
