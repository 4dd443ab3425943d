//! Responses of gain and saturation of adaptive neurons to a step of the drive (science reference,
//! 7.6).
//!
//! The windows of the reference, for 784 steps, scale with the sequence: step t becomes round(t T /
//! 784). The drive is that of the evaluation, active for onset < t < 2 onset.

use rheo_model::row::{Rows, ShapeStepRow, ShapeTraceRow, Variant};
use tch::{Tensor, no_grad_guard};

use super::driven::{RunningMoments, scaled};
use super::{StopCheck, Study};
use crate::Error;
use crate::network::RunConditions;
use crate::numerics::response::{StepResponse, StepWindows, step_response};
use crate::shape_stats::ShapeStats;
use crate::task::Split;
use crate::tensor::from_doubles;

/// Default drive strengths.
const LEVELS: [f64; 10] = [0.0, 0.5, 1.0, 2.5, 5.0, 7.5, 10.0, 15.0, 20.0, 30.0];

/// Default number of test sequences to average over. Each already has H neurons to average over,
/// and one strength costs as much as an evaluation of this many samples.
const SAMPLES: u32 = 100;

/// Window of steps, of 784, over which steady values are averaged.
#[derive(Debug, Clone, Copy)]
struct SteadyWindow {
    /// Variant of the analysis that uses this window.
    variant: Variant,
    /// First step.
    first: u32,
    /// Step after the last.
    end: u32,
}

/// Windows, one per variant.
const STEADY: [SteadyWindow; 2] = [
    SteadyWindow { variant: Variant::Corrected, first: 300, end: 380 },
    SteadyWindow { variant: Variant::Released, first: 350, end: 399 },
];

/// Returns one row per strength and step, and one per strength and variant of the steady window.
pub(super) fn run(study: &Study<'_>, check_stop: StopCheck<'_>) -> Result<Rows, Error> {
    let mut rows = Rows::default();
    if !study.is_adaptive() {
        return Ok(rows);
    }
    for xi in study.levels(&LEVELS) {
        let trace = record(study, xi, check_stop)?;
        rows.shape_steps.extend(STEADY.map(|window| steps(study, xi, &trace, window)));
        let row = |(t, point): (u32, &[RunningMoments; 2])| trace_row(study.epoch, xi, t, point);
        rows.shape_traces.extend((0..).zip(&trace).map(row));
    }
    Ok(rows)
}

/// Measures gain and saturation over sequences and neurons at each step, under a drive of strength
/// `xi`.
fn record(
    study: &Study<'_>,
    xi: f64,
    check_stop: StopCheck<'_>,
) -> Result<Vec<[RunningMoments; 2]>, Error> {
    let _guard = no_grad_guard();
    let drive = drive(study, xi)?;
    let mut trace: Vec<[RunningMoments; 2]> = Vec::new();
    for samples in study.test_batches(SAMPLES) {
        check_stop()?;
        let batch = study.task.batch(Split::Test, &samples)?;
        let mut t = 0;
        let mut visit = |step: &crate::network::LayerStep| {
            if trace.len() == t {
                trace.push(Default::default());
            }
            if let Some(shape) = &step.shape {
                trace[t][0].add(&shape.n)?;
                trace[t][1].add(&shape.s)?;
            }
            t += 1;
            Ok(())
        };
        let conditions = RunConditions::driven(Some(&drive));
        study.network.visit_steps(
            &batch.inputs,
            conditions,
            &mut ShapeStats::counting(),
            &mut visit,
        )?;
    }
    Ok(trace)
}

/// Returns `xi` for onset < t < 2 onset, else 0: [T, 1, 1].
fn drive(study: &Study<'_>, xi: f64) -> tch::Result<Tensor> {
    let steps = study.task.steps();
    let onset = scaled(200, steps);
    let on = onset + 1..2 * onset;
    let values: Vec<f64> = (0..steps).map(|t| if on.contains(&t) { xi } else { 0.0 }).collect();
    from_doubles(&values, &[steps.into(), 1, 1], study.network.precision())
}

fn trace_row(epoch: i32, xi: f64, t: u32, [n, s]: &[RunningMoments; 2]) -> ShapeTraceRow {
    ShapeTraceRow {
        epoch,
        variant: Variant::Corrected,
        drive: "step_drive".to_owned(),
        xi,
        t,
        n_mean: n.mean(),
        n_std: n.deviation(),
        s_mean: s.mean(),
        s_std: s.deviation(),
    }
}

fn steps(
    study: &Study<'_>,
    xi: f64,
    trace: &[[RunningMoments; 2]],
    window: SteadyWindow,
) -> ShapeStepRow {
    let SteadyWindow { variant, first, end } = window;
    let place = |step: u32| scaled(step, study.task.steps()) as usize;
    let driven = place(200) + 1..(2 * place(200)).max(place(200) + 1);
    let steady = place(first)..place(end).min(driven.end).max(place(first));
    let windows = StepWindows { pre: place(150)..place(200), driven, steady };
    let response = |quantity: usize| -> StepResponse {
        let means: Vec<f64> = trace.iter().map(|moments| moments[quantity].mean()).collect();
        step_response(&means, &windows)
    };
    let (n, s) = (response(0), response(1));
    ShapeStepRow {
        epoch: study.epoch,
        variant,
        xi,
        n_pre: n.pre,
        n_onset: n.onset,
        n_steady: n.steady,
        n_tau: n.tau,
        s_pre: s.pre,
        s_onset: s.onset,
        s_steady: s.steady,
        s_tau: s.tau,
    }
}
