//! Orders of the responses of one prepared network: of the mean over its neurons, for all drives
//! together and for each alone, and of every neuron for the strongest drive (science reference,
//! 7.7).

use rheo_model::config::Protocol;

use super::preparation::PulseSetup;
use crate::Error;
use crate::analysis::StopCheck;
use crate::numerics::order::{DriveBases, OrderFit};
use crate::numerics::released_order::{ReleasedFit, ReleasedGrid};
use crate::numerics::search::linspace;

/// Input without drive, used in the targets of the released fit for single drives.
const BASELINE: f64 = 0.8;

/// The only drive of the released all-drives fit with the long protocol.
const LONG_XI: f64 = 20.0;

/// Points of the grids of alpha.
const COARSE: usize = 100;
const FINE: usize = 1001;

/// A fit, with the columns of the table.
#[derive(Debug, Clone, Copy)]
pub(super) struct FractionalFit {
    pub(super) order: f64,
    pub(super) alpha: f64,
    pub(super) gain: f64,
    pub(super) offset: f64,
    pub(super) error: f64,
    pub(super) r2: f64,
}

impl From<OrderFit> for FractionalFit {
    fn from(fit: OrderFit) -> Self {
        let OrderFit { order, gain, offset, error, r2 } = fit;
        Self { order, alpha: -order, gain, offset, error, r2 }
    }
}

impl From<ReleasedFit> for FractionalFit {
    /// The released fit has neither gain nor offset.
    fn from(fit: ReleasedFit) -> Self {
        let ReleasedFit { alpha, error } = fit;
        let nan = f64::NAN;
        Self { order: -alpha, alpha, gain: nan, offset: nan, error, r2: nan }
    }
}

/// Responses to fit.
pub(super) struct Responses<'a> {
    /// Drive strengths.
    pub(super) levels: &'a [f64],
    /// Responses per strength and neuron, T numbers each.
    pub(super) neurons: &'a [Vec<Vec<f64>>],
    /// Mean response over all neurons per strength.
    pub(super) population: &'a [Vec<f64>],
}

impl Responses<'_> {
    /// Returns the strengths above zero with their indices.
    fn driven(&self) -> impl Iterator<Item = (usize, f64)> {
        self.levels.iter().copied().enumerate().filter(|(_, xi)| *xi > 0.0)
    }

    /// Returns the strongest drive with its index.
    fn strongest(&self) -> Option<(usize, f64)> {
        self.driven().reduce(|best, next| if next.1 > best.1 { next } else { best })
    }
}

/// Fits of all scopes; empty without a drive.
#[derive(Debug, Default)]
pub(super) struct ScopedFits {
    pub(super) all_xi: Option<FractionalFit>,
    pub(super) per_xi: Vec<(f64, FractionalFit)>,
    /// Order alpha and fit of each neuron, for the strongest drive.
    pub(super) per_neuron: Vec<(f64, FractionalFit)>,
}

/// Fits order and gain together.
pub(super) fn corrected(
    setup: &PulseSetup,
    responses: &Responses<'_>,
    check_stop: StopCheck<'_>,
) -> Result<ScopedFits, Error> {
    let drives = |xi: &[f64]| {
        let drives = xi.iter().map(|&xi| setup.drive(xi)).collect();
        DriveBases::new(drives, setup.window.clone())
    };
    let mut fits = ScopedFits::default();
    let Some((place, strongest)) = responses.strongest() else {
        return Ok(fits);
    };
    let (places, levels): (Vec<usize>, Vec<f64>) = responses.driven().unzip();
    let population: Vec<&[f64]> =
        places.iter().map(|&place| responses.population[place].as_slice()).collect();
    fits.all_xi = Some(drives(&levels).fit(&population).into());
    for (&xi, &response) in levels.iter().zip(&population) {
        check_stop()?;
        fits.per_xi.push((xi, drives(&[xi]).fit(&[response]).into()));
    }
    let drives = drives(&[strongest]);
    for response in &responses.neurons[place] {
        check_stop()?;
        fits.per_neuron.push((strongest, drives.fit(&[response]).into()));
    }
    Ok(fits)
}

/// Fits alpha only, with the targets and grids of the released code: the drive itself for all
/// drives together, a step to .8 + xi from .8 for single drives. The targets are one step shorter
/// than the drive. With the long protocol `all_xi` is the fit for xi = 20, and empty if there is no
/// such drive.
pub(super) fn released(
    protocol: Protocol,
    setup: &PulseSetup,
    responses: &Responses<'_>,
    check_stop: StopCheck<'_>,
) -> Result<ScopedFits, Error> {
    let target = match protocol {
        Protocol::Short => 51..100,
        Protocol::Long => 101..200,
    };
    let grid = |from: f64, count: usize| {
        ReleasedGrid::new(linspace(from, 1.0, count), setup.steps, setup.window.clone())
    };
    let mut fits = ScopedFits::default();
    let Some((place, strongest)) = responses.strongest() else {
        return Ok(fits);
    };
    let used = |xi: f64| protocol == Protocol::Short || xi.to_bits() == LONG_XI.to_bits();
    let (together, targets): (Vec<&[f64]>, Vec<Vec<f64>>) = responses
        .driven()
        .filter(|(_, xi)| used(*xi))
        .map(|(place, xi)| (responses.population[place].as_slice(), setup.pulse(&target, xi, 0.0)))
        .unzip();
    if !together.is_empty() {
        fits.all_xi = Some(grid(0.0, COARSE).fit(&together, &targets).into());
    }
    let single = |xi: f64| [setup.pulse(&target, BASELINE + xi, BASELINE)];
    let fine = grid(0.0, FINE);
    for (place, xi) in responses.driven() {
        check_stop()?;
        fits.per_xi.push((xi, fine.fit(&[&responses.population[place]], &single(xi)).into()));
    }
    let (coarse, target) = (grid(-1.0, COARSE), single(strongest));
    for response in &responses.neurons[place] {
        check_stop()?;
        fits.per_neuron.push((strongest, coarse.fit(&[response], &target).into()));
    }
    Ok(fits)
}
