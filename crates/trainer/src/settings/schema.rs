//! The schema of the settings: each is written once, with its type, default, range, help, and whether a
//! resumed run may change it.
//!
//! [`settings!`] declares a table of settings with its entries; [`section!`] gives entries to the
//! configuration of another crate, and does not compile while a field has none. Reading, writing, checking,
//! comparing and the page of settings are all walks over the entries.

use crate::settings::limits::Limits;
use crate::settings::value::Value;

/// The entry of a setting or of a table of settings.
#[derive(Debug, Clone)]
pub(crate) struct Entry {
    pub(crate) name: &'static str,
    /// One line.
    pub(crate) help: &'static str,
    pub(crate) limits: Limits,
}

/// A setting met on a walk.
pub(crate) struct Setting<'a> {
    /// Its name after those of its tables, separated by dots.
    pub(crate) key: String,
    pub(crate) entry: &'a Entry,
    pub(crate) value: &'a mut dyn Value,
    /// The choices that it belongs to, outermost first: the setting that chooses, and the name chosen.
    pub(crate) choices: &'a [(String, &'static str)],
}

/// A walk over all settings in their order. One that chooses, such as `objective.kind`, comes before those
/// that depend on it, so that a walk may change it.
pub(crate) struct Walk<'a> {
    tables: Vec<&'static str>,
    choices: Vec<(String, &'static str)>,
    each: &'a mut dyn FnMut(Setting<'_>),
}

/// A table of settings.
pub(crate) trait Section {
    /// Shows the walk every setting.
    fn settings(&mut self, walk: &mut Walk<'_>);
}

/// A setting or a table of settings.
pub(crate) trait Field {
    fn visit(&mut self, walk: &mut Walk<'_>, entry: &Entry);
}

impl<'a> Walk<'a> {
    /// Calls `each` for every setting of `root`.
    pub(crate) fn over(root: &mut dyn Section, each: &'a mut dyn FnMut(Setting<'_>)) {
        root.settings(&mut Self { tables: Vec::new(), choices: Vec::new(), each });
    }

    pub(crate) fn setting(&mut self, entry: &Entry, value: &mut dyn Value) {
        let key = self.key(entry.name);
        (self.each)(Setting { key, entry, value, choices: &self.choices });
    }

    /// The settings of a table inside the present one.
    pub(crate) fn table(&mut self, name: &'static str, section: &mut dyn Section) {
        self.tables.push(name);
        section.settings(self);
        self.tables.pop();
    }

    /// The settings that the present table has because its setting `selector` is `name`.
    pub(crate) fn choice(&mut self, selector: &str, name: &'static str, section: &mut dyn Section) {
        self.choices.push((self.key(selector), name));
        section.settings(self);
        self.choices.pop();
    }

    fn key(&self, name: &str) -> String {
        self.tables.iter().copied().chain([name]).collect::<Vec<_>>().join(".")
    }
}

/// Declares a table of settings: a struct with its defaults and the entries of its fields. The first lines of
/// comment above a field are its help; a default that is left out is that of the type, and so is a range.
macro_rules! settings {
    ($(#[$attribute:meta])* pub struct $config:ident {
        $($(#[doc = $help:literal])+ $field:ident: $type:ty $(= $default:expr)? $(=> $limits:expr)?,)+
    }) => {
        $(#[$attribute])*
        #[derive(Debug, Clone, PartialEq)]
        pub struct $config {
            $($(#[doc = $help])+ pub $field: $type,)+
        }

        impl Default for $config {
            fn default() -> Self {
                Self { $($field: $crate::settings::schema::settings!(@default $($default)?),)+ }
            }
        }

        $crate::settings::schema::section! { $config { $($(#[doc = $help])+ $field $(=> $limits)?,)+ } }
    };
    (@default) => { Default::default() };
    (@default $value:expr) => { $value };
}

/// Gives entries to the fields of a struct, all but those named after `without`.
macro_rules! section {
    ($config:ident {
        $($(#[doc = $help:literal])+ $field:ident $(as $name:literal)? $(=> $limits:expr)?,)+
    } $(without $($fixed:ident),+)?) => {
        impl $crate::settings::schema::Section for $config {
            fn settings(&mut self, walk: &mut $crate::settings::schema::Walk<'_>) {
                let Self { $($field,)+ $($($fixed: _,)+)? } = self;
                $(
                    let entry = $crate::settings::schema::Entry {
                        name: $crate::settings::schema::section!(@name $field $($name)?),
                        help: concat!($($help),+).trim_ascii(),
                        limits: $crate::settings::schema::section!(@limits $($limits)?),
                    };
                    $crate::settings::schema::Field::visit($field, walk, &entry);
                )+
            }
        }

        impl $crate::settings::schema::Field for $config {
            fn visit(
                &mut self,
                walk: &mut $crate::settings::schema::Walk<'_>,
                entry: &$crate::settings::schema::Entry,
            ) {
                walk.table(entry.name, self);
            }
        }
    };
    (@name $field:ident) => { stringify!($field) };
    (@name $field:ident $name:literal) => { $name };
    (@limits) => { $crate::settings::limits::any() };
    (@limits $limits:expr) => { $limits };
}

pub(crate) use {section, settings};
