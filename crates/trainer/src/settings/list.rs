//! The list of all settings, whatever the choices of a run, for help texts and the page of settings.

use crate::settings::config::TrainConfig;
use crate::settings::schema::Walk;

/// A setting as its entry has it.
#[derive(Debug, Clone, PartialEq)]
pub struct SettingHelp {
    /// Its name after those of its tables, as in `training.epochs`.
    pub key: String,
    /// One line of help.
    pub help: &'static str,
    /// The default, in words where it depends on something else; empty where there is none.
    pub default: String,
    /// The values allowed: a range, or names; empty for any of the type.
    pub allowed: String,
    /// Whether a resumed run may change it.
    pub changeable: bool,
    /// The objectives or clustering algorithms that have it; empty for a setting of every run.
    pub owners: Vec<&'static str>,
    /// The names of an enumeration.
    names: &'static [&'static str],
    /// The combinations of choices that have it, each a list of settings and names as in `objective.kind`,
    /// `nat`.
    pub(crate) only: Vec<Vec<(String, &'static str)>>,
}

/// All settings, in the order in which files have them. One that depends on a choice and differs between
/// choices, as in its default, is there for each.
pub fn all_settings() -> Vec<SettingHelp> {
    let mut found: Vec<SettingHelp> = Vec::new();
    let mut open = vec![Vec::new()];
    while let Some(chosen) = open.pop() {
        let mut config = TrainConfig::default();
        for (selector, name) in &chosen {
            config.set(&format!("{selector}={name}")).expect("names of choices are values");
        }
        let mut settings = Vec::new();
        Walk::over(&mut config, &mut |setting| {
            let entry = setting.entry;
            let names = setting.value.names();
            let is_chosen = chosen.iter().any(|(selector, _)| *selector == setting.key);
            let default = match setting.value.to_toml() {
                // Here it is that of the walk.
                Some(_) if is_chosen => default_choice(&setting.key, names),
                value => value.as_ref().map(plain).unwrap_or_default(),
            };
            settings.push(SettingHelp {
                key: setting.key,
                help: entry.help,
                default: entry.limits.default.map_or(default, str::to_string),
                allowed: if names.is_empty() { entry.limits.text() } else { names.join(", ") },
                changeable: entry.limits.changeable,
                owners: Vec::new(),
                names,
                only: vec![setting.choices.to_vec()],
            });
        });
        let is_open = |selector: &String| chosen.iter().all(|(key, _)| key != selector);
        let mut choices = settings.iter().flat_map(|setting| &setting.only[0]);
        if let Some((selector, _)) = choices.find(|(selector, _)| is_open(selector)) {
            let names =
                settings.iter().find(|setting| setting.key == *selector).map_or(&[][..], |it| it.names);
            for name in names.iter().rev() {
                open.push([chosen.clone(), vec![(selector.clone(), *name)]].concat());
            }
        } else {
            settings.into_iter().for_each(|setting| add(&mut found, setting));
        }
    }
    let owners: Vec<_> = found.iter().map(|setting| owners(setting, &found)).collect();
    found.iter_mut().zip(owners).for_each(|(setting, owners)| setting.owners = owners);
    found
}

/// Adds a setting, after the last with which it shares its table, or to the one that it is but for its
/// choices.
fn add(found: &mut Vec<SettingHelp>, setting: SettingHelp) {
    let same =
        |known: &&mut SettingHelp| SettingHelp { only: setting.only.clone(), ..(**known).clone() } == setting;
    if let Some(known) = found.iter_mut().find(same) {
        known.only.extend(setting.only);
        return;
    }
    let table = |key: &str| key.rsplit_once('.').map_or(String::new(), |(table, _)| table.to_string());
    let last = found.iter().rposition(|known| table(&known.key) == table(&setting.key));
    found.insert(last.map_or(found.len(), |last| last + 1), setting);
}

/// The default of a setting that chooses: that of all settings, or its first name where they do not have it.
fn default_choice(selector: &str, names: &[&str]) -> String {
    let row = TrainConfig::default().rows().into_iter().find(|row| row.key == selector);
    row.map_or_else(|| names.first().copied().unwrap_or_default().to_string(), |row| row.text())
}

/// The names without which there is no such setting; `all` holds those that choose.
fn owners(setting: &SettingHelp, all: &[SettingHelp]) -> Vec<&'static str> {
    let mut owners = Vec::new();
    for selector in sorted(setting.only.iter().flatten().map(|(selector, _)| selector.as_str())) {
        let chosen = setting.only.iter().flatten().filter(|(key, _)| key == selector);
        let names = sorted(chosen.map(|(_, name)| *name));
        let num_names = all.iter().find(|other| other.key == selector).map_or(0, |other| other.names.len());
        if names.len() < num_names {
            owners.extend(names);
        }
    }
    owners
}

fn sorted<'a>(names: impl Iterator<Item = &'a str>) -> Vec<&'a str> {
    let mut names: Vec<&str> = names.collect();
    names.sort_unstable();
    names.dedup();
    names
}

/// A value without the quotes of TOML.
pub(crate) fn plain(value: &toml::Value) -> String {
    value.as_str().map_or_else(|| value.to_string(), str::to_string)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn settings_are_listed_once_for_each_meaning_with_their_owners() {
        let all = all_settings();
        let of = |key: &str| all.iter().filter(|setting| setting.key == key).collect::<Vec<_>>();
        let [kind] = of("objective.kind")[..] else { panic!() };
        assert!(kind.owners.is_empty() && kind.default == "deepcluster");
        let [epochs] = of("training.epochs")[..] else { panic!() };
        assert!(epochs.owners.is_empty() && epochs.changeable && epochs.default == "200");
        let rates = of("objective.learning_rate");
        let described: Vec<_> =
            rates.iter().map(|rate| (rate.owners.clone(), rate.default.as_str())).collect();
        assert_eq!(described, [(vec!["deepcluster"], "0.05"), (vec!["nat"], "0.01")]);
        let [neighbors] = of("objective.clustering.num_neighbors")[..] else { panic!() };
        assert_eq!(neighbors.owners, ["lin-cohen-pic", "pic"]);
        let [variant] = of("objective.clustering.variant")[..] else { panic!() };
        assert_eq!(
            (variant.owners.clone(), variant.allowed.as_str()),
            (vec!["kmeans"], "lloyd, mini-batch, two-level")
        );
        let [components] = of("objective.whitening.num_components")[..] else { panic!() };
        assert!(components.owners.is_empty());
        assert!(all.iter().all(|setting| !setting.help.is_empty() && !setting.help.ends_with('.')));
    }
}
