//! Tests of the view `pooled_gain_fits`: fits of the means over seeds of one sweep or of several.

use rheo_model::config::{TaskKind, TrialConfig};
use rheo_model::row::{GainScalingRow, Rows, Variant};

use super::{adaptive, ask, assert_numbers, end};
use crate::fixture::Fixture;

/// The strengths of the reference data (`gain_fit` of oracles.json), and one that the fits ignore.
const XI: [f64; 8] = [0.0, 1.0, 2.5, 5.0, 10.0, 15.0, 20.0, 30.0];

/// a, b, c and rmse of the best fits, by quantity.
const FITS: [[f64; 4]; 2] = [
    [0.289_402_4, 0.589_695_28, 5.419_234, 0.007_970_718_7],
    [-0.003_926_350_2, 0.190_243_4, 0.002_028_531_7, 8.427_134_3e-5],
];

/// Gain and saturation of the reference data at the first `strengths` strengths, shifted by `off`
/// times a factor that differs between strengths.
fn rows(off: f64, strengths: usize) -> Rows {
    let row = |(place, &xi): (usize, &f64)| {
        // The reference data begin at the first strength above zero.
        let i = place as f64 - 1.0;
        let (wiggle, off) = ((3.0 * i).cos(), off * (1.0 + i.sin()));
        GainScalingRow {
            epoch: 99,
            variant: Variant::Corrected,
            xi,
            n_mean: off + if xi == 0.0 { 9.0 } else { 5.4 + 0.3 * xi.powf(-0.5) + 0.01 * wiggle },
            s_mean: 1e-3 * off + 0.002 - 0.004 * (-0.2 * xi).exp() + 1e-4 * wiggle,
        }
    };
    Rows { gain_scaling: XI[..strengths].iter().enumerate().map(row).collect(), ..Rows::default() }
}

fn commit(fixture: &mut Fixture, sweep: &str, trial: u64, seed: u64, off: f64) {
    end(fixture, sweep, trial, &adaptive(TaskKind::Psmnist, seed), &rows(off, XI.len()));
}

const FOUND: &str = "SELECT quantity, form, a, b, c, rmse FROM pooled_gain_fits \
                     WHERE variant = 'corrected'";

#[tokio::test]
async fn the_mean_over_three_seeds_is_fitted() {
    let mut fixture = Fixture::new();
    for (trial, off) in (0..).zip([0.3, -0.5, 0.2]) {
        commit(&mut fixture, "demo", trial, 200 + 2 * trial, off);
    }
    // A trial of another network does not count as a seed.
    let mut other = adaptive(TaskKind::Psmnist, 200);
    other.network.hidden = 7;
    end(&mut fixture, "demo", 3, &other, &rows(4.0, XI.len()));
    fixture.flush();
    let sql = format!("{FOUND} AND pooled_seeds = 3 ORDER BY quantity");
    let lines = ask(&fixture, &sql).await;
    let forms = [["n", "power"], ["s", "exponential"]];
    assert_eq!(lines.len(), 2, "{lines:?}");
    for ((line, form), expected) in lines.iter().zip(forms).zip(FITS) {
        assert_eq!(line[..2], form);
        assert_numbers(&line[2..], &expected, 1e-4);
    }
    // The published search starts far away and ends near the optimum.
    let sql = "SELECT a, b, c FROM pooled_gain_fits \
               WHERE variant = 'released' AND pooled_seeds = 3 AND quantity = 'n'";
    assert_numbers(&ask(&fixture, sql).await[0], &FITS[0][..3], 1e-2);
    let sql = "SELECT sweep, task, net, epoch, pooled_seeds, count(*) FROM pooled_gain_fits \
               GROUP BY sweep, task, net, epoch, pooled_seeds ORDER BY pooled_seeds";
    let lines = ask(&fixture, sql).await;
    let groups = ["1", "3"].map(|seeds| ["demo", "psmnist", "adaptive", "99", seeds, "4"]);
    assert_eq!(lines, groups);
}

#[tokio::test]
async fn without_a_sweep_seeds_of_all_sweeps_are_pooled() {
    let mut fixture = Fixture::new();
    commit(&mut fixture, "networks", 0, 200, 0.3);
    commit(&mut fixture, "networks", 1, 400, -0.5);
    commit(&mut fixture, "more_seeds", 0, 401, 0.2);
    // A repeated trial is the same seed.
    commit(&mut fixture, "more_seeds", 1, 400, -0.5);
    let sql = "SELECT sweep, pooled_seeds FROM pooled_gain_fits \
               WHERE quantity = 'n' AND variant = 'corrected' ORDER BY sweep NULLS LAST";
    let lines = ask(&fixture, sql).await;
    assert_eq!(lines, [["more_seeds", "2"], ["networks", "2"], ["", "3"]]);
    let lines = ask(&fixture, &format!("{FOUND} AND sweep IS NULL ORDER BY quantity")).await;
    for (line, expected) in lines.iter().zip(FITS) {
        assert_numbers(&line[2..], &expected, 1e-4);
    }
}

#[tokio::test]
async fn only_strengths_with_all_seeds_are_fitted() {
    let mut fixture = Fixture::new();
    let config = |seed: u64| -> TrialConfig { adaptive(TaskKind::Psmnist, seed) };
    end(&mut fixture, "demo", 0, &config(1), &rows(0.0, XI.len()));
    end(&mut fixture, "demo", 1, &config(2), &rows(0.0, 4));
    end(&mut fixture, "other", 0, &config(3), &rows(0.0, 2));
    let sql = "SELECT sweep, pooled_seeds, round(rmse, 9) FROM pooled_gain_fits \
               WHERE quantity = 'n' AND variant = 'corrected'";
    // Three strengths have an exact fit, two have none.
    assert_eq!(ask(&fixture, sql).await, [["demo", "2", "0.0"]]);
}
