//! Analyses of a network: one file each, all with the same `run` function.
//!
//! An analysis does not change the network. Its rows are a function of the configuration and the
//! weights; its random numbers come from a stream of its own that starts over every time.

mod activation_curves;
mod adaptation;
mod controller_pca;
mod driven;
mod eigenvalues;
mod fractional;
mod gain_scaling;
mod gradients;
mod jacobian;
mod lyapunov;
mod mutual_information;
#[cfg(test)]
mod reference;
mod sequences;
mod shape_traces;
pub(crate) mod shapes;
mod slope_contours;

use rheo_core::rng::{Purpose, TrialRng};
use rheo_model::config::{self, AnalysisKind, TrialConfig};
use rheo_model::row::Rows;

use crate::Error;
use crate::network::Network;
use crate::shape_stats::NeuronShapes;
use crate::task::Task;

/// Input of an analysis.
pub(crate) struct Study<'a> {
    /// Configuration of the trial.
    pub(crate) config: &'a TrialConfig,
    /// Configuration of the analysis.
    pub(crate) analysis: &'a config::Analysis,
    /// Epoch after which the network is analysed; -1 before training.
    pub(crate) epoch: i32,
    /// Task of the trial.
    pub(crate) task: &'a Task,
    /// Network to analyse.
    pub(crate) network: &'a Network,
    /// Gains and saturations before training, if the network has any and they are known.
    pub(crate) initial: Option<&'a NeuronShapes>,
    /// Phase of the trial: `trained`, or `before` or `after` the second training.
    pub(crate) phase: &'static str,
}

/// Callback inside long loops; returns an error when the trial has to stop, which the caller passes
/// on.
pub(crate) type StopCheck<'a> = &'a mut dyn FnMut() -> Result<(), Error>;

impl Study<'_> {
    /// Returns the random stream of the analysis.
    pub(crate) fn rng(&self) -> TrialRng {
        let seed = self.config.seeds.of(Purpose::Analysis, self.config.seed);
        TrialRng::new(seed, Purpose::Analysis)
    }

    /// Returns the rows of the analysis; empty if it does not apply to the network.
    pub(crate) fn run(&self, check_stop: StopCheck<'_>) -> Result<Rows, Error> {
        match self.analysis.kind {
            AnalysisKind::Shapes => shapes::run(self, check_stop),
            AnalysisKind::ActivationCurves => activation_curves::run(self, check_stop),
            AnalysisKind::ShapeTraces => shape_traces::run(self, check_stop),
            AnalysisKind::GainScaling => gain_scaling::run(self, check_stop),
            AnalysisKind::Fractional => fractional::run(self, check_stop),
            AnalysisKind::Adaptation => adaptation::run(self, check_stop),
            AnalysisKind::ControllerPca => controller_pca::run(self, check_stop),
            AnalysisKind::Lyapunov => lyapunov::run(self, check_stop),
            AnalysisKind::Jacobian => jacobian::run(self, check_stop),
            AnalysisKind::SlopeContours => slope_contours::run(self, check_stop),
            AnalysisKind::Gradients => gradients::run(self, check_stop),
            AnalysisKind::Eigenvalues => eigenvalues::run(self, check_stop),
            AnalysisKind::MutualInformation => mutual_information::run(self, check_stop),
        }
    }
}

/// Position of an epoch in the training of a trial.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct EpochPosition {
    /// Epoch; -1 before training.
    pub(crate) epoch: i32,
    /// Whether a second training begins after this epoch.
    pub(crate) is_turn: bool,
    /// Whether training ends after this epoch.
    pub(crate) is_last: bool,
}

/// Whether `analysis` runs after the epoch at `position`.
pub(crate) fn is_due(analysis: &config::Analysis, position: EpochPosition) -> bool {
    let EpochPosition { epoch, is_turn, is_last } = position;
    if let Some(epochs) = &analysis.epochs {
        return epochs.contains(&epoch);
    }
    let kind = analysis.kind;
    is_last || (epoch < 0 && kind.begins_untrained()) || (is_turn && kind == AnalysisKind::Shapes)
}
