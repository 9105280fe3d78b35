//! Settings of the whitening.

use serde::{Deserialize, Serialize};

use crate::error::ClusteringError;

/// Settings of [`Whitening`](crate::Whitening).
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct WhiteningConfig {
    /// Most principal components to keep, at least 1. Default: 256, as in the original code. Fewer are kept
    /// where the features span fewer dimensions.
    pub num_components: usize,
    /// Whether each component is scaled to unit variance. Default: true, as in the original code.
    pub whiten: bool,
    /// Whether each row is scaled to unit Euclidean norm in the end. Default: true, as in the original code.
    pub normalize: bool,
}

impl Default for WhiteningConfig {
    fn default() -> Self {
        Self { num_components: 256, whiten: true, normalize: true }
    }
}

impl WhiteningConfig {
    /// Checks that every field is in its range.
    ///
    /// # Errors
    /// - [`ClusteringError::InvalidConfig`]: names the field, its value and the values allowed.
    pub fn validate(&self) -> Result<(), ClusteringError> {
        if self.num_components == 0 {
            let (field, value) = ("num_components", self.num_components.to_string());
            return Err(ClusteringError::InvalidConfig { field, value, allowed: "at least 1" });
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_components_are_refused_and_the_field_is_named() {
        let error = WhiteningConfig { num_components: 0, ..Default::default() }.validate().unwrap_err();
        assert!(matches!(error, ClusteringError::InvalidConfig { field: "num_components", .. }));
        assert!(WhiteningConfig::default().validate().is_ok());
    }

    #[test]
    fn a_config_survives_the_way_through_a_file_and_refuses_misspelt_keys() {
        let config = WhiteningConfig { num_components: 3, whiten: false, normalize: false };
        let text = serde_json::to_string(&config).unwrap();
        assert_eq!(serde_json::from_str::<WhiteningConfig>(&text).unwrap(), config);
        assert_eq!(serde_json::from_str::<WhiteningConfig>("{}").unwrap(), WhiteningConfig::default());
        assert!(serde_json::from_str::<WhiteningConfig>(r#"{"components": 3}"#).is_err());
    }
}
