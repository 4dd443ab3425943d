//! Dynamical-systems analyses through a whole trial: the rows they write, and relations that hold
//! for any network.

use rheo_model::config::{
    Analysis, AnalysisKind, Kernel, LyapunovMode, NetworkKind, Precision, RecurrentInit, TaskKind,
    TrialConfig,
};
use rheo_model::row::{EigenvalueRow, Rows, Variant};
use rheo_train::TorchTrainer;

use crate::support::{tiny, tiny_copy, train};

/// Kinds with a single weighted sum, and thus with a single recurrent matrix.
const PLAIN: [NetworkKind; 4] =
    [NetworkKind::Heterogeneous, NetworkKind::Adaptive, NetworkKind::Linear, NetworkKind::Modrelu];
const GATED: [NetworkKind; 2] = [NetworkKind::Lstm, NetworkKind::Gru];

/// Returns the rows of `config` with one analysis.
fn analysed(mut config: TrialConfig, analysis: Analysis) -> Rows {
    config.evaluate.clear();
    config.training.epochs = 1;
    config.analyze = vec![analysis];
    train(&TorchTrainer::default(), &config).0.commit.rows
}

fn analysis(kind: AnalysisKind) -> Analysis {
    Analysis { kind, samples: Some(3), steps: 50, exponents: 4, ..Analysis::default() }
}

fn is_at(value: f64, expected: f64) -> bool {
    // Single precision, over some dozen steps.
    (value - expected).abs() < 1e-5
}

#[test]
fn without_input_every_network_has_exponents() {
    for kind in PLAIN.into_iter().chain(GATED) {
        let rows = analysed(tiny(kind), analysis(AnalysisKind::Lyapunov)).lyapunov;
        let is_plain = PLAIN.contains(&kind);
        assert_eq!(rows.len(), if is_plain { 8 } else { 4 }, "{kind:?}");
        for (place, row) in rows.iter().enumerate() {
            let is_corrected = place < 4;
            assert_eq!(row.variant == Variant::Corrected, is_corrected, "{kind:?}");
            let is_joint = matches!(kind, NetworkKind::Adaptive | NetworkKind::Lstm);
            assert_eq!(row.system == "joint", is_joint && is_corrected, "{kind:?}");
            let from = if is_corrected { 300 } else { 0 };
            assert_eq!((row.window_start, row.window_end, row.steps), (from, from + 50, 50));
            assert_eq!((row.epoch, row.index as usize), (0, place % 4));
            assert_eq!(row.mode, "autonomous");
            assert!(row.bits == row.nats / std::f64::consts::LN_2 && row.nats < 1.0, "{row:?}");
        }
    }
}

/// Returns the results of the analyses, each with a name and a tolerance.
fn figures(config: &TrialConfig) -> Vec<(String, f64, f64)> {
    let rows = train(&TorchTrainer::default(), config).0.commit.rows;
    let mut all = Vec::new();
    for row in &rows.lyapunov {
        let what = format!("exponent {} {} of {} at {}", row.index, row.mode, row.system, row.xi);
        // The remainder of a column that vanishes within few steps, next to one that hardly
        // shrinks, is rounding.
        let off = if row.nats < -2.0 { f64::INFINITY } else { 1e-6 };
        all.extend([(what.clone(), row.nats, off), (what, row.std_nats, off)]);
    }
    for row in &rows.jacobian {
        let what = format!("norm {} {:?} {:?}", row.path, row.n, row.s);
        all.extend([(what.clone(), row.norm_spectral, 1e-9), (what, row.norm_inf, 1e-9)]);
    }
    for row in &rows.gradients {
        let what = format!("gradient {} {}", row.kind, row.t);
        all.extend([(what.clone(), row.norm, 1e-9), (what, row.norm_std, 1e-9)]);
    }
    for row in &rows.controller_pca {
        let what = format!("component {} {}", row.input, row.t);
        all.extend([(what.clone(), row.pc1, 1e-9), (what, row.pc2, 1e-9)]);
    }
    all
}

#[test]
fn analyses_find_the_same_whatever_computes_the_network() {
    for kind in NetworkKind::ALL {
        for mut config in [tiny(kind), tiny_copy(kind)] {
            config.evaluate.clear();
            config.training.epochs = 1;
            config.training.precision = Precision::Float64;
            let modes = vec![LyapunovMode::Autonomous, LyapunovMode::Driven, LyapunovMode::Frozen];
            let untrained = |kind| Analysis { epochs: Some(vec![-1]), ..analysis(kind) };
            config.analyze = vec![
                Analysis {
                    mode: Some(modes),
                    level: Some(vec![0.0, 2.0]),
                    ..untrained(AnalysisKind::Lyapunov)
                },
                Analysis { grid: true, ..untrained(AnalysisKind::Jacobian) },
                untrained(AnalysisKind::Gradients),
                Analysis { repetitions: Some(3), ..untrained(AnalysisKind::ControllerPca) },
            ];
            let [expected, fused, libtorch] = [Kernel::Autograd, Kernel::Fused, Kernel::Libtorch]
                .map(|kernel| {
                    config.resources.kernel = kernel;
                    figures(&config)
                });
            let compared = expected.iter().filter(|(_, _, most)| most.is_finite()).count();
            assert!(compared >= 20, "{kind:?}: {compared}");
            for found in [fused, libtorch] {
                assert_eq!(found.len(), expected.len(), "{kind:?}");
                for ((what, found, _), (_, expected, most)) in found.iter().zip(&expected) {
                    let off = (found - expected).abs();
                    let is_near = most.is_infinite() || off <= most * (1.0 + expected.abs());
                    let is_same = is_near || found.is_nan() && expected.is_nan();
                    assert!(is_same, "{kind:?} {what}: {found}, not {expected}");
                }
            }
        }
    }
}

#[test]
fn an_untrained_rotation_neither_grows_nor_shrinks() {
    let mut config = tiny(NetworkKind::Linear);
    config.network.recurrent_init = RecurrentInit::Orthogonal;
    let untrained = |kind| Analysis { epochs: Some(vec![-1]), ..analysis(kind) };
    let modes = vec![LyapunovMode::Autonomous, LyapunovMode::Driven];
    let lyapunov = Analysis { mode: Some(modes), ..untrained(AnalysisKind::Lyapunov) };
    let rows = analysed(config.clone(), lyapunov).lyapunov;
    assert_eq!(rows.len(), 12);
    assert!(rows.iter().all(|row| row.epoch == -1 && is_at(row.nats, 0.0)), "{rows:?}");
    let rows = analysed(config.clone(), untrained(AnalysisKind::Jacobian)).jacobian;
    assert_eq!(rows.len(), 1);
    assert!(is_at(rows[0].norm_spectral, 1.0), "{rows:?}");
    let rows = analysed(config, untrained(AnalysisKind::Eigenvalues)).eigenvalues;
    assert!(rows.iter().all(|row| is_at(row.re.hypot(row.im), 1.0)), "{rows:?}");
}

#[test]
fn driven_networks_have_exponents_per_drive() {
    for kind in PLAIN.into_iter().chain(GATED) {
        let analysis = Analysis {
            mode: Some(vec![LyapunovMode::Driven]),
            level: Some(vec![0.0, 5.0]),
            ..analysis(AnalysisKind::Lyapunov)
        };
        let rows = analysed(tiny(kind), analysis).lyapunov;
        assert_eq!(rows.len(), 8, "{kind:?}");
        for row in &rows {
            // round(100 16/784) = 2.
            assert_eq!((row.window_start, row.window_end, row.steps), (2, 16, 14));
            assert_eq!(row.sequences, 3);
            assert!(row.nats.is_nan() || row.nats < 1.0, "{row:?}");
        }
        assert_eq!(rows.iter().filter(|row| row.xi == 5.0).count(), 4);
        // The slopes of these two hardly depend on the input.
        if !matches!(kind, NetworkKind::Linear | NetworkKind::Modrelu) {
            assert!(rows[0].std_nats > 0.0, "sequences differ: {:?}", rows[0]);
        }
    }
}

#[test]
fn a_window_counts_its_steps_and_no_others() {
    for kind in [NetworkKind::Linear, NetworkKind::Adaptive, NetworkKind::Lstm] {
        let of = |window: Option<[u32; 2]>| {
            let analysis = Analysis {
                mode: Some(vec![LyapunovMode::Driven]),
                window: window.map(Vec::from),
                ..analysis(AnalysisKind::Lyapunov)
            };
            let rows = analysed(tiny(kind), analysis).lyapunov;
            let [start, end] = window.unwrap_or([2, 16]);
            for row in &rows {
                let found = (row.window_start, row.window_end, row.steps);
                assert_eq!(found, (start, end, end - start), "{kind:?}");
            }
            // Sums over the counted steps.
            rows.iter().map(|row| row.nats * f64::from(row.steps)).collect::<Vec<f64>>()
        };
        let whole = of(None);
        assert_eq!(of(Some([2, 16])), whole, "{kind:?}");
        // The columns turn from the first step on, wherever counting begins.
        let (first, second) = (of(Some([2, 7])), of(Some([7, 16])));
        for ((whole, first), second) in whole.iter().zip(first).zip(second) {
            assert!((first + second - whole).abs() < 1e-9, "{kind:?}: {first} {second} {whole}");
        }
    }
}

#[test]
fn only_adaptive_networks_are_frozen() {
    for kind in [NetworkKind::Adaptive, NetworkKind::Heterogeneous] {
        let analysis = Analysis {
            mode: Some(vec![LyapunovMode::Frozen]),
            level: Some(vec![1.0, 10.0]),
            exponents: 2,
            ..analysis(AnalysisKind::Lyapunov)
        };
        let rows = analysed(tiny(kind), analysis).lyapunov;
        if kind != NetworkKind::Adaptive {
            assert!(rows.is_empty());
            continue;
        }
        assert_eq!(rows.len(), 2 * 4 * 2 * 2);
        assert!(rows.iter().all(|row| row.system == "h" && row.window_start == 300));
        let at: Vec<i32> = rows.iter().step_by(4).take(4).map(|row| row.at_step.unwrap()).collect();
        assert_eq!(at, [4, 5, 6, 7]);
        // The shapes before the drive are the same for every step of it.
        let fixed: Vec<_> = rows.iter().filter(|row| row.shape_source == "fixed").collect();
        assert!(
            fixed
                .iter()
                .filter(|row| row.xi == 1.0 && row.index == 0)
                .all(|row| { row.nats.to_bits() == fixed[0].nats.to_bits() })
        );
        let adaptive = rows.iter().filter(|row| row.shape_source == "adaptive" && row.xi == 10.0);
        assert!(adaptive.into_iter().any(|row| row.nats != fixed[0].nats));
    }
}

#[test]
fn jacobians_have_one_row_per_path() {
    for kind in PLAIN.into_iter().chain(GATED) {
        let rows = analysed(tiny(kind), analysis(AnalysisKind::Jacobian)).jacobian;
        let paths: Vec<(i32, &str)> =
            rows.iter().map(|row| (row.epoch, row.path.as_str())).collect();
        let expected = match kind {
            NetworkKind::Adaptive => {
                vec![(-1, "direct"), (-1, "total"), (0, "direct"), (0, "total")]
            }
            _ if GATED.contains(&kind) => vec![],
            _ => vec![(-1, "direct"), (0, "direct")],
        };
        assert_eq!(paths, expected, "{kind:?}");
        for row in &rows {
            // With five neurons |J|_2 <= sqrt 5 |J|_inf and |J|_inf <= sqrt 5 |J|_2.
            let ratio = row.norm_spectral / row.norm_inf;
            assert!((0.4..2.3).contains(&ratio), "{row:?}");
            assert_eq!(row.norm_released.is_some(), row.path == "direct");
            assert_eq!((row.n, row.s, row.samples), (None, None, 3));
        }
    }
}

#[test]
fn the_grid_of_untrained_jacobians_stays_below_the_steepest_slope() {
    let analysis =
        Analysis { epochs: Some(vec![-1]), grid: true, ..analysis(AnalysisKind::Jacobian) };
    let rows = analysed(tiny(NetworkKind::Heterogeneous), analysis).jacobian;
    assert_eq!(rows.len(), 1 + 200);
    for row in &rows[1..] {
        let (n, s) = (row.n.unwrap(), row.s.unwrap());
        let steepest = if s > 1.0 / (n + 1.0) {
            (1.0 + s * (n - 1.0)).powi(2) / (4.0 * s * n)
        } else {
            1.0 - s
        };
        // A rotation passes the largest slope and no more.
        assert!(row.norm_spectral > 0.0 && row.norm_spectral <= steepest + 1e-5, "{row:?}");
    }
}

#[test]
fn slope_contours_are_where_the_slope_is() {
    let rows = analysed(tiny(NetworkKind::Fixed), analysis(AnalysisKind::SlopeContours));
    let rows = rows.slope_contours;
    for (variant, slope) in [(Variant::Corrected, 1.0), (Variant::Released, 0.987)] {
        let of: Vec<_> = rows.iter().filter(|row| row.variant == variant).collect();
        assert!(of.iter().all(|row| row.slope == slope));
        // Far out the slope is one without saturation: every gain has its point.
        assert_eq!(of.iter().filter(|row| row.xi == 30.0).count(), 100);
        assert!(of.iter().all(|row| (-0.015..=0.025).contains(&row.s)));
        assert!(of.iter().all(|row| (2.0..=5.0).contains(&row.n)));
    }
    let without = analysed(tiny(NetworkKind::Relu), analysis(AnalysisKind::SlopeContours));
    assert!(without.slope_contours.is_empty());
}

#[test]
fn gradients_have_one_row_per_step_and_length() {
    for config in [tiny, tiny_copy] {
        for kind in PLAIN.into_iter().chain(GATED) {
            let config = config(kind);
            let is_copy = config.task.kind == TaskKind::Copy;
            let steps = if is_copy { 7 } else { 16 };
            let rows = analysed(config, analysis(AnalysisKind::Gradients)).gradients;
            for epoch in [-1, 0] {
                let of =
                    |kind| rows.iter().filter(move |row| row.epoch == epoch && row.kind == kind);
                let hidden: Vec<u32> = of("hidden").map(|row| row.t).collect();
                assert_eq!(hidden, (0..steps).collect::<Vec<u32>>(), "{kind:?}");
                let expected = if kind == NetworkKind::Adaptive { steps } else { 0 };
                assert_eq!(of("controller").count(), expected as usize, "{kind:?}");
                let lengths: Vec<u32> = of("w_hh").map(|row| row.t).collect();
                assert_eq!(lengths, if is_copy { vec![1, 7] } else { vec![1, 10, 16] });
                // From rest, the first step does not depend on the recurrent weights.
                assert_eq!(of("w_hh").next().unwrap().norm, 0.0, "{kind:?}");
                assert!(of("w_hh").nth(1).unwrap().norm > 0.0, "{kind:?}");
                assert!(of("hidden").next_back().unwrap().norm > 0.0, "{kind:?}");
            }
        }
    }
}

#[test]
fn eigenvalues_have_their_stage() {
    for kind in PLAIN.into_iter().chain(GATED) {
        let rows = analysed(tiny(kind), analysis(AnalysisKind::Eigenvalues)).eigenvalues;
        if GATED.contains(&kind) {
            assert!(rows.is_empty());
            continue;
        }
        let stages: Vec<(&str, Variant, u32)> =
            rows.iter().map(|row| (row.stage.as_str(), row.variant, row.index)).collect();
        let of = |stage, variant| (0..5).map(move |index| (stage, variant, index));
        let expected = of("init", Variant::Corrected)
            .chain(of("init", Variant::Released))
            .chain(of("trained", Variant::Corrected));
        assert_eq!(stages, expected.collect::<Vec<_>>(), "{kind:?}");
        // The matrix in the released code's eigenvalue plot is not the trained one.
        let real = |rows: &[EigenvalueRow]| rows.iter().map(|row| row.re).collect::<Vec<f64>>();
        assert_ne!(real(&rows[..5]), real(&rows[5..10]), "{kind:?}");
        for row in &rows {
            assert!(row.re.hypot(row.im) <= row.spectral_radius);
            assert_eq!(is_at(row.orthogonality, 0.0), row.epoch == -1, "{row:?}");
        }
        assert!(is_at(rows[0].spectral_radius, 1.0) && is_at(rows[5].spectral_radius, 1.0));
        let again = analysed(tiny(kind), analysis(AnalysisKind::Eigenvalues)).eigenvalues;
        assert_eq!(again, rows, "{kind:?}");
    }
}

#[test]
fn information_is_estimated_where_there_are_steps_enough() {
    for kind in [NetworkKind::Heterogeneous, NetworkKind::Lstm] {
        let rows = analysed(tiny(kind), analysis(AnalysisKind::MutualInformation));
        let rows = rows.mutual_information;
        let found: Vec<_> = rows.iter().map(|row| (row.variant, row.lag, row.dimension)).collect();
        // 16 steps less 10 are more than 5 neighbours; less 20 are none.
        let mut expected: Vec<_> = [0, 1, 2, 5, 10].map(|lag| (Variant::Corrected, lag, 3)).into();
        expected.push((Variant::Released, 0, 5));
        assert_eq!(found, expected);
        for row in &rows {
            assert_eq!(row.sequences, 3);
            // Sixteen points carry at most the information of which one it is.
            assert!((-1.0..16f64.ln() + 1.0).contains(&row.nats) && row.std >= 0.0, "{row:?}");
        }
    }
}

#[test]
fn only_the_released_formula_undoes_the_pixel_order() {
    let permuted = |permute| {
        let mut config = tiny(NetworkKind::Linear);
        config.task.permute = permute;
        let analysis =
            Analysis { epochs: Some(vec![-1]), ..analysis(AnalysisKind::MutualInformation) };
        analysed(config, analysis).mutual_information
    };
    let (plain, permuted) = (permuted(false), permuted(true));
    // In row order there is nothing to undo: at lag 0 the formulas differ in the state alone.
    assert_eq!(plain.len(), permuted.len());
    assert_ne!(plain[0].nats, permuted[0].nats);
}
