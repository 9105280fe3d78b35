//! Losses of a step, each with the parameter groups that descend it.

use burn::tensor::{Device, Tensor};

/// The losses of a step.
///
/// Most objectives have one, which all parameter groups descend; adversarial ones have several, each with its
/// groups.
#[derive(Debug)]
pub struct Losses {
    pub(crate) terms: Vec<Term>,
    device: Device,
}

/// A loss and the groups that descend it.
#[derive(Debug)]
pub(crate) struct Term {
    /// `[1]`
    pub(crate) loss: Tensor<1>,
    /// Names of parameter groups; `None` for all.
    pub(crate) groups: Option<&'static [&'static str]>,
}

impl Losses {
    /// One loss, `[1]`, for all parameter groups.
    pub fn joint(loss: Tensor<1>) -> Self {
        let device = loss.device().without_autodiff();
        Self { terms: vec![Term { loss, groups: None }], device }
    }

    /// A further loss, `[1]`, which only these groups descend. It must not share its graph with the others:
    /// each is differentiated on its own.
    pub fn and(mut self, loss: Tensor<1>, groups: &'static [&'static str]) -> Self {
        self.terms.push(Term { loss, groups: Some(groups) });
        self
    }

    /// One loss, `[1]`, which only these groups descend.
    pub fn by_groups(loss: Tensor<1>, groups: &'static [&'static str]) -> Self {
        Self { terms: Vec::new(), device: loss.device().without_autodiff() }.and(loss, groups)
    }

    /// No loss, for a device without a part of the batch.
    pub(crate) fn none(device: &Device) -> Self {
        Self { terms: Vec::new(), device: device.clone().without_autodiff() }
    }

    /// All losses times `factor`.
    pub(crate) fn scaled(mut self, factor: f64) -> Self {
        self.terms = self
            .terms
            .into_iter()
            .map(|Term { loss, groups }| Term { loss: loss * factor, groups })
            .collect();
        self
    }

    /// The sum of all, `[1]`, without autodiff.
    pub(crate) fn total(&self) -> Tensor<1> {
        let values = self.terms.iter().map(|term| term.loss.clone().without_autodiff());
        values.reduce(|sum, value| sum + value).unwrap_or_else(|| Tensor::zeros([1], &self.device))
    }

    pub(crate) fn device(&self) -> &Device {
        &self.device
    }
}
