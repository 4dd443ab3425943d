//! Analyses of a network: one file each, all with the same `run`.
//!
//! An analysis looks at a network and changes nothing. Its rows are a function of the configuration
//! and the weights; what it draws comes from a stream of its own, from the beginning every time.

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

/// What an analysis looks at.
pub(crate) struct Study<'a> {
    /// The trial.
    pub(crate) config: &'a TrialConfig,
    /// What is asked.
    pub(crate) analysis: &'a config::Analysis,
    /// The epoch after which the network is as it is, -1 before training.
    pub(crate) epoch: i32,
    /// What the network learned.
    pub(crate) task: &'a Task,
    /// The network.
    pub(crate) network: &'a Network,
    /// The gains and saturations that the network started with, if it has any and they are known.
    pub(crate) initial: Option<&'a NeuronShapes>,
    /// In which part of a trial with a second training the network is.
    pub(crate) phase: &'static str,
}

/// Called inside long loops: an error where the trial has to stop, to be passed on.
pub(crate) type StopCheck<'a> = &'a mut dyn FnMut() -> Result<(), Error>;

impl Study<'_> {
    /// The random numbers of the analysis.
    pub(crate) fn rng(&self) -> TrialRng {
        let seed = self.config.seeds.of(Purpose::Analysis, self.config.seed);
        TrialRng::new(seed, Purpose::Analysis)
    }

    /// The rows of the analysis; none where it does not apply to the network.
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

/// Where an epoch stands in the training of a trial.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct EpochPosition {
    /// The epoch, -1 before training.
    pub(crate) epoch: i32,
    /// Whether a second training begins after it.
    pub(crate) is_turn: bool,
    /// Whether training ends after it.
    pub(crate) is_last: bool,
}

/// Whether `analysis` is made after the epoch at `position`.
pub(crate) fn is_due(analysis: &config::Analysis, position: EpochPosition) -> bool {
    let EpochPosition { epoch, is_turn, is_last } = position;
    if let Some(epochs) = &analysis.epochs {
        return epochs.contains(&epoch);
    }
    let kind = analysis.kind;
    is_last || (epoch < 0 && kind.begins_untrained()) || (is_turn && kind == AnalysisKind::Shapes)
}
