//! Values of settings: their form in files, and the names of enumerations.

use std::path::PathBuf;

use deepcluster_clustering::{FeatureType, Initialization, KMeansVariant};
use deepcluster_data::LabelSource;
use deepcluster_models::{Architecture, Precision};
use serde::de::value::Error;
use serde::de::{DeserializeOwned, Deserializer, Error as _, Visitor};
use serde::forward_to_deserialize_any;

use crate::objectives::config::ObjectiveKind;
use crate::objectives::deepcluster::config::Sampling;
use crate::settings::clustering::ClusteringChoice;
use crate::settings::schema::{Entry, Field, Walk};

/// A number before its range is known.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) enum Number {
    Integer(u64),
    Float(f64),
}

/// The value of a setting.
pub(crate) trait Value {
    /// `None` for an optional setting that is not set, and for a number beyond those of TOML.
    fn to_toml(&self) -> Option<toml::Value>;

    /// Takes a value of the right type.
    fn assign(&mut self, value: toml::Value) -> Result<(), String>;

    /// The number, where it is one and set.
    fn number(&self) -> Option<Number>;

    /// The names of an enumeration.
    fn names(&self) -> &'static [&'static str];
}

/// Implements [`Value`] for types and their options; a last function makes numbers of some.
macro_rules! values {
    ($($type:ty),+ => $number:expr) => {$(
        impl Value for $type {
            fn to_toml(&self) -> Option<toml::Value> {
                toml::Value::try_from(self).ok()
            }

            fn assign(&mut self, value: toml::Value) -> Result<(), String> {
                *self = parsed(value)?;
                Ok(())
            }

            fn number(&self) -> Option<Number> {
                let number: fn(&$type) -> Option<Number> = $number;
                number(self)
            }

            fn names(&self) -> &'static [&'static str] {
                variant_names::<Self>()
            }
        }

        impl Value for Option<$type> {
            fn to_toml(&self) -> Option<toml::Value> {
                self.as_ref().and_then(Value::to_toml)
            }

            fn assign(&mut self, value: toml::Value) -> Result<(), String> {
                *self = Some(parsed(value)?);
                Ok(())
            }

            fn number(&self) -> Option<Number> {
                self.as_ref().and_then(Value::number)
            }

            fn names(&self) -> &'static [&'static str] {
                variant_names::<$type>()
            }
        }

        impl Field for $type {
            fn visit(&mut self, walk: &mut Walk<'_>, entry: &Entry) {
                walk.setting(entry, self);
            }
        }

        impl Field for Option<$type> {
            fn visit(&mut self, walk: &mut Walk<'_>, entry: &Entry) {
                walk.setting(entry, self);
            }
        }
    )+};
}

values!(u64 => |number| Some(Number::Integer(*number)));
values!(usize => |number| Some(Number::Integer(*number as u64)));
values!(f64 => |number| Some(Number::Float(*number)));
values!(bool, PathBuf, LabelSource => |_| None);
values!(Architecture, ClusteringChoice, FeatureType, Initialization, KMeansVariant => |_| None);
values!(ObjectiveKind, Precision, Sampling => |_| None);

fn parsed<T: DeserializeOwned>(value: toml::Value) -> Result<T, String> {
    value.try_into().map_err(|error: toml::de::Error| error.message().to_string())
}

/// The names of the variants of an enumeration in files; none for other types.
pub(crate) fn variant_names<T: DeserializeOwned>() -> &'static [&'static str] {
    let mut names: &[&str] = &[];
    // It ends with an error: all that is asked of it is the list that it is called with.
    let _ = T::deserialize(NameReader(&mut names));
    names
}

struct NameReader<'a>(&'a mut &'static [&'static str]);

impl<'de> Deserializer<'de> for NameReader<'_> {
    type Error = Error;

    fn deserialize_any<V: Visitor<'de>>(self, _: V) -> Result<V::Value, Error> {
        Err(Error::custom("no enumeration"))
    }

    fn deserialize_enum<V: Visitor<'de>>(
        self,
        _: &'static str,
        variants: &'static [&'static str],
        _: V,
    ) -> Result<V::Value, Error> {
        *self.0 = variants;
        Err(Error::custom("only names"))
    }

    forward_to_deserialize_any! {
        bool i8 i16 i32 i64 u8 u16 u32 u64 f32 f64 char str string bytes byte_buf option unit unit_struct
        newtype_struct seq tuple tuple_struct map struct identifier ignored_any
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_those_of_files() {
        assert_eq!(variant_names::<KMeansVariant>(), ["lloyd", "mini-batch", "two-level"]);
        assert_eq!(variant_names::<ClusteringChoice>(), ["kmeans", "pic", "lin-cohen-pic"]);
        assert!(variant_names::<LabelSource>().is_empty() && variant_names::<usize>().is_empty());
    }

    #[test]
    fn values_of_another_type_are_refused_and_leave_the_old_one() {
        let mut size: Option<usize> = Some(3);
        assert!(size.assign(toml::Value::from(-1)).is_err() && size.assign(toml::Value::from("a")).is_err());
        assert_eq!(size, Some(3));
        size.assign(toml::Value::from(4)).unwrap();
        assert_eq!(size.number(), Some(Number::Integer(4)));
        // TOML has no such number.
        assert_eq!(u64::MAX.to_toml(), None);
    }
}
