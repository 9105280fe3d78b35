//! Options that are enumerations of the library, by their names in files.

use clap::builder::{PossibleValuesParser, TypedValueParser};
use serde::Serialize;

/// A parser of the names of these values.
pub(super) fn named<T>(values: &'static [T]) -> impl TypedValueParser<Value = T>
where
    T: Serialize + Copy + Send + Sync + 'static,
{
    let names: Vec<String> = values.iter().map(name).collect();
    PossibleValuesParser::new(names).try_map(|asked| {
        let found = values.iter().find(|value| name(*value) == asked).copied();
        found.ok_or("no such name")
    })
}

fn name(value: &impl Serialize) -> String {
    let value = serde_json::to_value(value).ok();
    value.as_ref().and_then(serde_json::Value::as_str).unwrap_or_default().to_string()
}
