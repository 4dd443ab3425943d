//! Adaptation index: how much of a neuron's response to a drive fades while the drive lasts
//! (science reference, 7.11). Uses the preparation of the fractional analysis with the short
//! protocol.

use rheo_model::config::Protocol;
use rheo_model::row::{AdaptationRow, Rows, Variant};

use super::fractional::preparation::{self, LEVELS, NOISE, PulseSetup};
use super::{StopCheck, Study};
use crate::Error;
use crate::numerics::response::{StepSubset, adaptation_index, released_adaptation_index};

/// Function that computes the index of a trace.
type IndexFunction = fn(&[f64], StepSubset) -> f64;

const VARIANTS: [(Variant, IndexFunction); 2] =
    [(Variant::Corrected, adaptation_index), (Variant::Released, released_adaptation_index)];

/// Returns one row per connectivity, neuron, subset of steps and variant, at the strongest drive.
pub(super) fn run(study: &Study<'_>, check_stop: StopCheck<'_>) -> Result<Rows, Error> {
    let mut rows = Rows::default();
    let strongest = study.levels(&LEVELS).into_iter().reduce(f64::max);
    let setup = PulseSetup::new(Protocol::Short, NOISE);
    let levels: Vec<f64> = strongest.into_iter().collect();
    for prepared in preparation::record(study, &setup, &levels, check_stop)? {
        for (&xi, neurons) in levels.iter().zip(&prepared.responses) {
            for (neuron, response) in (0..).zip(neurons) {
                for (variant, index) in VARIANTS {
                    rows.adaptation.extend(StepSubset::ALL.map(|subset| AdaptationRow {
                        epoch: study.epoch,
                        variant,
                        connectivity: prepared.connectivity.name().to_owned(),
                        neuron,
                        xi,
                        subset: subset.name().to_owned(),
                        index: index(response, subset),
                    }));
                }
            }
        }
    }
    Ok(rows)
}
