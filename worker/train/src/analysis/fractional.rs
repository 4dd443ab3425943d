//! Order of the fractional derivative that the neurons apply to a drive (science reference, 7.7):
//! adaptive networks, and networks of fixed curves as controls.

mod fits;
pub(super) mod preparation;

use rheo_model::config::Protocol;
use rheo_model::row::{FractionalFitRow, FractionalTraceRow, Rows, Variant};

use super::{StopCheck, Study};
use crate::Error;
use crate::numerics::response::mean_within;
use crate::numerics::{order, released_order};
use fits::{FractionalFit, Responses, ScopedFits};
use preparation::{LEVELS, NOISE, NetworkResponses, PulseSetup};

/// Standard deviation of the input noise in the released code's long recordings.
const RELEASED_LONG_NOISE: f64 = 5.0;

/// Returns the fits of all scopes, and the mean responses of all neurons and of the two groups by
/// the sign of alpha, for each protocol, connectivity and variant.
pub(super) fn run(study: &Study<'_>, check_stop: StopCheck<'_>) -> Result<Rows, Error> {
    let mut rows = Rows::default();
    let levels = study.levels(&LEVELS);
    let protocols = study.analysis.protocol.clone();
    for protocol in protocols.unwrap_or_else(|| vec![Protocol::Short, Protocol::Long]) {
        let setup = PulseSetup::new(protocol, NOISE);
        let recorded = preparation::record(study, &setup, &levels, check_stop)?;
        let corrected =
            ProtocolFit { study, protocol, setup, levels: &levels, variant: Variant::Corrected };
        corrected.add(&recorded, &mut rows, check_stop)?;
        let released = ProtocolFit { variant: Variant::Released, ..corrected };
        if protocol == Protocol::Short {
            released.add(&recorded, &mut rows, check_stop)?;
        } else {
            let setup = PulseSetup::new(protocol, RELEASED_LONG_NOISE);
            let recorded = preparation::record(study, &setup, &levels, check_stop)?;
            ProtocolFit { setup, ..released }.add(&recorded, &mut rows, check_stop)?;
        }
    }
    Ok(rows)
}

/// One protocol with one variant of the fit.
struct ProtocolFit<'a> {
    study: &'a Study<'a>,
    protocol: Protocol,
    setup: PulseSetup,
    levels: &'a [f64],
    variant: Variant,
}

/// Some neurons of one prepared network.
struct NeuronGroup {
    connectivity: &'static str,
    name: &'static str,
    neurons: Vec<usize>,
    /// Order alpha of the population under all drives.
    alpha: f64,
}

impl ProtocolFit<'_> {
    /// Adds the fits and traces of `recorded` to `rows`.
    fn add(
        &self,
        recorded: &[NetworkResponses],
        rows: &mut Rows,
        check_stop: StopCheck<'_>,
    ) -> Result<(), Error> {
        for prepared in recorded {
            let neurons = &prepared.responses;
            let everyone: Vec<usize> = (0..neurons.first().map_or(0, Vec::len)).collect();
            let population: Vec<Vec<f64>> =
                neurons.iter().map(|traces| self.mean(traces, &everyone)).collect();
            let responses = Responses { levels: self.levels, neurons, population: &population };
            let fits = match self.variant {
                Variant::Corrected => fits::corrected(&self.setup, &responses, check_stop)?,
                Variant::Released => {
                    fits::released(self.protocol, &self.setup, &responses, check_stop)?
                }
            };
            let connectivity = prepared.connectivity.name();
            rows.fractional_fits.extend(self.fit_rows(connectivity, &fits));
            for group in groups(connectivity, everyone, &fits) {
                check_stop()?;
                for (&xi, traces) in self.levels.iter().zip(neurons) {
                    rows.fractional_traces.extend(self.trace_rows(&group, xi, traces));
                }
            }
        }
        Ok(())
    }

    /// Returns the mean of the traces of some neurons.
    fn mean(&self, traces: &[Vec<f64>], neurons: &[usize]) -> Vec<f64> {
        let count = neurons.len() as f64;
        let at = |t: usize| neurons.iter().map(|&neuron| traces[neuron][t]).sum::<f64>() / count;
        (0..self.setup.steps).map(at).collect()
    }

    fn fit_rows(&self, connectivity: &str, fits: &ScopedFits) -> Vec<FractionalFitRow> {
        let row = |scope: &str, neuron, xi, fit: &FractionalFit| FractionalFitRow {
            epoch: self.study.epoch,
            variant: self.variant,
            protocol: self.protocol.name().to_owned(),
            connectivity: connectivity.to_owned(),
            scope: scope.to_owned(),
            neuron,
            xi,
            order: fit.order,
            alpha: fit.alpha,
            gain: fit.gain,
            offset: fit.offset,
            error: fit.error,
            r2: fit.r2,
        };
        let all = fits.all_xi.iter().map(|fit| row("all_xi", None, None, fit));
        let each = fits.per_xi.iter().map(|(xi, fit)| row("per_xi", None, Some(*xi), fit));
        let neurons = (0..).zip(&fits.per_neuron);
        let single = neurons.map(|(i, (xi, fit))| row("per_neuron", Some(i), Some(*xi), fit));
        all.chain(each).chain(single).collect()
    }

    fn trace_rows(
        &self,
        group: &NeuronGroup,
        xi: f64,
        traces: &[Vec<f64>],
    ) -> Vec<FractionalTraceRow> {
        let mean = self.mean(traces, &group.neurons);
        let row = |(t, ((h_mean, dalpha_h), drive))| FractionalTraceRow {
            epoch: self.study.epoch,
            variant: self.variant,
            protocol: self.protocol.name().to_owned(),
            connectivity: group.connectivity.to_owned(),
            group: group.name.to_owned(),
            group_size: u32::try_from(group.neurons.len()).unwrap_or(u32::MAX),
            xi,
            t,
            drive,
            h_mean,
            dalpha_h,
        };
        let derivative = self.derivative(&mean, group.alpha);
        let columns = mean.into_iter().zip(derivative).zip(self.setup.drive(xi));
        (0..).zip(columns).map(row).collect()
    }

    /// Returns the fractional derivative of `trace`, which should reproduce the drive up to a gain.
    /// `alpha` is the order of the population under all drives. The corrected variant applies the
    /// Grunwald-Letnikov derivative to the excess over the mean of the window before the drive,
    /// since a constant has a derivative, too.
    fn derivative(&self, trace: &[f64], alpha: f64) -> Vec<f64> {
        if self.variant == Variant::Released {
            return released_order::derivative(trace, alpha);
        }
        let base = mean_within(trace, self.setup.window.start..self.setup.driven.start);
        let above: Vec<f64> = trace.iter().map(|h| h - base).collect();
        order::derivative(&above, alpha)
    }
}

/// Returns all neurons, the neurons with alpha <= 0, and those with alpha > 0, without empty
/// groups. A neuron without an order is in neither of the last two.
fn groups(connectivity: &'static str, everyone: Vec<usize>, fits: &ScopedFits) -> Vec<NeuronGroup> {
    let alpha = fits.all_xi.map_or(f64::NAN, |fit| fit.alpha);
    let group = |name, neurons| NeuronGroup { connectivity, name, neurons, alpha };
    let those = |is_in: fn(f64) -> bool| {
        let chosen = fits.per_neuron.iter().enumerate().filter(|(_, (_, fit))| is_in(fit.alpha));
        chosen.map(|(neuron, _)| neuron).collect()
    };
    let groups = [
        group("all", everyone),
        group("alpha_le_0", those(|alpha| alpha <= 0.0)),
        group("alpha_gt_0", those(|alpha| alpha > 0.0)),
    ];
    groups.into_iter().filter(|group| !group.neurons.is_empty()).collect()
}
