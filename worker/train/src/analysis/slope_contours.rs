//! Contours of slope one of gamma (science reference, section 7.2): for each input xi the curve in
//! the plane of gain and saturation along which small deviations neither grow nor vanish.

use rheo_model::row::{Rows, SlopeContourRow, Variant};

use super::{StopCheck, Study};
use crate::Error;
use crate::dynamics::contour::saturation;
use crate::numerics::search::linspace;

/// Inputs at which the slope is taken.
const LEVELS: [f64; 7] = [0.9, 1.1, 1.5, 2.0, 3.0, 5.0, 30.0];
/// Gains: first, last, number.
const GAINS: (f64, f64, usize) = (2.0, 5.0, 100);
/// Range of saturations to keep.
const SATURATIONS: std::ops::RangeInclusive<f64> = -0.015..=0.025;
/// Target slopes. The released code uses slope + 0.013 = 1 without a stated reason.
const SLOPES: [(Variant, f64); 2] = [(Variant::Corrected, 1.0), (Variant::Released, 0.987)];

/// Returns one row per point of a curve. The curves are the same for every network whose neurons
/// have gain and saturation; other networks get none.
pub(super) fn run(study: &Study<'_>, check_stop: StopCheck<'_>) -> Result<Rows, Error> {
    let mut slope_contours = Vec::new();
    if !study.network.kind().has_shape() {
        return Ok(Rows::default());
    }
    for (variant, slope) in SLOPES {
        for xi in study.levels(&LEVELS) {
            check_stop()?;
            for n in linspace(GAINS.0, GAINS.1, GAINS.2) {
                let s = saturation(xi, n, slope).filter(|s| SATURATIONS.contains(s));
                let epoch = study.epoch;
                let row = |s| SlopeContourRow { epoch, variant, xi, n, s, slope };
                slope_contours.extend(s.map(row));
            }
        }
    }
    Ok(Rows { slope_contours, ..Rows::default() })
}
