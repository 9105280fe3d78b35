//! The state of probes between two epochs.

use std::path::Path;

use burn::tensor::TensorData;
use deepcluster_models::{Backbone, Head, export_weights, import_weights};
use serde::{Deserialize, Serialize};

use super::{LayerCurve, LinearProbe};
use crate::error::TransferError;
use crate::labelled_folder::LabelledFolder;
use crate::state_file::{TaskState, check_velocities};
use crate::task_identity::{TaskIdentity, TaskSettings, fingerprint};

/// Steps and scores so far, and the task that they belong to.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(super) struct ProbeProgress {
    identity: TaskIdentity,
    num_steps: usize,
    curves: Vec<LayerCurve>,
}

impl<B: Backbone> LinearProbe<'_, B> {
    /// All settings but the number of epochs; the weights of the network; the images and their labels.
    pub(super) fn identity(&self) -> Result<TaskIdentity, TransferError> {
        let images = [&self.data.train, &self.data.test].into_iter().flat_map(LabelledFolder::described);
        let images: Vec<Vec<u8>> = images.collect();
        let fingerprint = fingerprint(&export_weights(self.network)?, images.iter().map(Vec::as_slice));
        Ok(TaskIdentity::new(TaskSettings::new(&self.config, &["epochs"]), fingerprint))
    }

    pub(super) fn state(&self, identity: &TaskIdentity) -> Result<TaskState<ProbeProgress>, TransferError> {
        let mut state = TaskState::new(ProbeProgress {
            identity: identity.clone(),
            num_steps: self.num_steps,
            curves: self.layers.iter().map(|layer| layer.curve.clone()).collect(),
        });
        for layer in &self.layers {
            let name = &layer.curve.layer;
            if let Some(classifier) = &layer.classifier {
                state.insert(&format!("{name}.weight."), export_weights(classifier)?);
            }
            state.insert(&format!("{name}.velocity."), layer.sgd.export()?);
        }
        Ok(state)
    }

    /// Takes over a saved state; returns the number of epochs that are done.
    pub(super) fn restore(
        &mut self,
        mut saved: TaskState<ProbeProgress>,
        identity: &TaskIdentity,
        path: &Path,
    ) -> Result<usize, TransferError> {
        identity.check(&saved.progress.identity, path)?;
        let damaged = |reason: String| TransferError::Damaged { path: path.to_path_buf(), reason };
        let curves = std::mem::take(&mut saved.progress.curves);
        let own = self.layers.iter().map(|layer| &layer.curve.layer);
        if !own.eq(curves.iter().map(|curve| &curve.layer)) {
            return Err(damaged("its layers are not those of its settings".to_string()));
        }
        let device = self.device.clone().autodiff();
        let num_classes = self.data.class_names.len();
        for (layer, curve) in self.layers.iter_mut().zip(curves) {
            let weights = saved.take(&format!("{}.weight.", curve.layer));
            let velocities = saved.take(&format!("{}.velocity.", curve.layer));
            // Before a classifier of that size is made.
            let size: usize = weights.values().map(TensorData::num_elements).sum();
            if curve.num_values.checked_add(1).and_then(|rows| rows.checked_mul(num_classes)) != Some(size) {
                let reason = format!(
                    "its classifier of {} is not one of {} values and {num_classes} classes",
                    curve.layer, curve.num_values
                );
                return Err(damaged(reason));
            }
            check_velocities(&velocities, &weights).map_err(damaged)?;
            let classifier = Head::new(curve.num_values, num_classes, 0, &device);
            layer.classifier = Some(import_weights(classifier, weights)?);
            layer.sgd.import(velocities, &self.device);
            layer.curve = curve;
        }
        self.num_steps = saved.progress.num_steps;
        Ok(self.layers.first().map_or(0, |layer| layer.curve.epochs.len()))
    }
}
