//! The tables about the linearised network and about what its states keep: `jacobian`, `gradients`,
//! `eigenvalues`, `mutual_information`.

use std::collections::BTreeSet;

use serde_json::{Value, json};

use super::{assert_close, assert_once, column, ended, mean, number, steepest, table, those};

const JACOBIAN: [&str; 7] =
    ["n", "s", "path", "norm_spectral", "norm_inf", "norm_released", "samples"];
const GRADIENTS: [&str; 4] = ["kind", "t", "norm", "norm_std"];
const EIGENVALUES: [&str; 6] = ["stage", "index", "re", "im", "spectral_radius", "orthogonality"];
const INFORMATION: [&str; 5] = ["lag", "dimension", "nats", "std", "sequences"];

#[test]
fn jacobian() {
    let bench = ended(include_str!("../science/jacobian.yaml"));
    let rows = table(&bench, "jacobian", &JACOBIAN);
    // Two epochs of five kinds (`lstm` has several gates), the second path of the adaptive network,
    // and the grid of the three kinds with a shape.
    assert_once(&rows, 2 * (5 + 1 + 3 * 200), &["net", "epoch", "path", "n", "s"]);
    for row in &rows {
        check_norms(row);
    }
    for (net, norm) in [("linear", 1.0), ("relu", 1.0), ("fixed", 1.0), ("heterogeneous", 1.0)] {
        let rows = those(&rows, &json!({"net": net, "epoch": -1, "n": null}), "n");
        let spectral = number(rows[0], "norm_spectral");
        // A rotation times slopes of at most 1.
        assert!(rows.len() == 1 && spectral > 0.0 && spectral <= norm + 1e-5, "{rows:?}");
        assert!(net != "linear" || (spectral - 1.0).abs() < 1e-5, "{rows:?}");
    }
    for net in ["fixed", "heterogeneous", "adaptive"] {
        let is_untrained = |row: &&Value| row["net"] == net && row["epoch"] == -1;
        let grid: Vec<&Value> =
            rows.iter().filter(is_untrained).filter(|row| !row["n"].is_null()).collect();
        assert_eq!(grid.len(), 200);
        let values = |name: &str| column(&grid, name).into_iter().map(f64::to_bits);
        assert_eq!(values("n").collect::<BTreeSet<_>>().len(), 20);
        assert_eq!(values("s").collect::<BTreeSet<_>>().len(), 10);
        for row in grid {
            let (n, s) = (number(row, "n"), number(row, "s"));
            assert_eq!(row["path"], "direct");
            assert!(number(row, "norm_spectral") <= steepest(n, s) + 1e-5, "{row}");
        }
        if net != "adaptive" {
            // These start with n = 5 and s = 0, a point of the grid.
            let own = those(&rows, &json!({"net": net, "epoch": -1, "n": null}), "n");
            let point = those(&rows, &json!({"net": net, "epoch": -1, "n": 5.0, "s": 0.0}), "n");
            for name in ["norm_spectral", "norm_inf", "norm_released"] {
                assert_close(number(point[0], name), number(own[0], name), 1e-6, &net);
            }
        }
    }
}

/// Checks inequalities between norms of matrices with six rows, which hold for their means too.
fn check_norms(row: &Value) {
    let root = 6f64.sqrt() + 1e-9;
    let (spectral, infinity) = (number(row, "norm_spectral"), number(row, "norm_inf"));
    assert!(spectral <= root * infinity && infinity <= root * spectral, "{row}");
    assert_eq!(row["norm_released"].is_null(), row["path"] == "total", "{row}");
    assert!(row["path"] == "total" || number(row, "norm_released") <= root * spectral, "{row}");
    assert!(row["path"] == "direct" || row["net"] == "adaptive", "{row}");
    assert_eq!((&row["samples"], &row["variant"]), (&json!(3), &json!("corrected")), "{row}");
}

#[test]
fn gradients() {
    let bench = ended(include_str!("../science/gradients.yaml"));
    let rows = table(&bench, "gradients", &GRADIENTS);
    // Two epochs of four kinds, 16 steps and three lengths; the controllers of one kind.
    assert_once(&rows, 2 * (4 * (16 + 3) + 16), &["net", "epoch", "kind", "t"]);
    for row in &rows {
        let (norm, spread) = (number(row, "norm"), number(row, "norm_std"));
        assert!(norm >= 0.0 && spread >= 0.0 && norm.is_finite(), "{row}");
        // From rest the first step does not depend on the recurrent weights.
        assert_eq!(norm == 0.0, row["kind"] == "w_hh" && row["t"] == 1, "{row}");
        // One batch of twenty.
        assert!(row["kind"] != "w_hh" || spread == 0.0, "{row}");
    }
    for net in ["linear", "relu", "adaptive", "lstm"] {
        for epoch in [-1, 0] {
            let of = |kind: &str| {
                let wanted = json!({"net": net, "epoch": epoch, "kind": kind});
                column(&those(&rows, &wanted, "t"), "t")
            };
            let steps: Vec<f64> = (0..16).map(f64::from).collect();
            assert_eq!((of("hidden"), of("w_hh")), (steps.clone(), vec![1.0, 5.0, 16.0]));
            assert_eq!(of("controller"), if net == "adaptive" { steps } else { vec![] });
        }
    }
    let norms = |net: &str| {
        column(&those(&rows, &json!({"net": net, "epoch": -1, "kind": "hidden"}), "t"), "norm")
    };
    // On the way back a rotation leaves a gradient as long as it was, and slopes of 0 and 1 shorten it.
    let linear = norms("linear");
    for norm in &linear {
        assert_close(*norm, linear[15], 1e-5, &"rotation");
    }
    assert!(norms("relu").windows(2).all(|pair| pair[0] <= pair[1] * (1.0 + 1e-6)));
}

#[test]
fn eigenvalues() {
    let bench = ended(include_str!("../science/eigenvalues.yaml"));
    let rows = table(&bench, "eigenvalues", &EIGENVALUES);
    // Two kinds (`lstm` has no single matrix), four origins, two epochs and another draw before the
    // first, seven neurons.
    assert_once(&rows, 2 * 4 * 3 * 7, &["trial", "epoch", "variant", "index"]);
    for trial in bench.query("select trial, recurrent_init from trials where net <> 'lstm'") {
        let init = trial["recurrent_init"].as_str().unwrap();
        let spectra =
            [(-1, "init", "corrected"), (-1, "init", "released"), (0, "trained", "corrected")];
        let spectra = spectra.map(|(epoch, stage, variant)| {
            let wanted = json!({"trial": trial["trial"], "epoch": epoch, "stage": stage,
                "variant": variant});
            let spectrum = those(&rows, &wanted, "index");
            assert_eq!(column(&spectrum, "index"), [0.0, 1.0, 2.0, 3.0, 4.0, 5.0, 6.0]);
            check_spectrum(&spectrum, init);
            column(&spectrum, "re")
        });
        assert_ne!(spectra[0], spectra[1], "the released code draws another matrix");
    }
}

/// Checks properties of the eigenvalues of any real matrix, and of a rotation.
fn check_spectrum(spectrum: &[&Value], init: &str) {
    let (re, im) = (column(spectrum, "re"), column(spectrum, "im"));
    let sizes: Vec<f64> = re.iter().zip(&im).map(|(re, im)| re.hypot(*im)).collect();
    let orthogonality = number(spectrum[0], "orthogonality");
    for row in spectrum {
        assert_eq!(number(row, "spectral_radius"), sizes[0], "{row}");
        assert_eq!(number(row, "orthogonality"), orthogonality, "{row}");
    }
    assert!(sizes.windows(2).all(|pair| pair[0] >= pair[1]), "{sizes:?}");
    // In pairs of conjugates.
    assert!(im.iter().sum::<f64>().abs() < 1e-6, "{im:?}");
    // Schur: the sum of their squares is at most |w|_F^2 = H + tr(w^T w - I).
    let squares: f64 = sizes.iter().map(|size| size.powi(2)).sum();
    assert!(squares <= 7.0 * (1.0 + orthogonality) + 1e-6, "{squares}");
    let is_rotation = spectrum[0]["epoch"] == -1 && init != "xavier";
    assert_eq!(orthogonality < 1e-5, is_rotation, "{init} {orthogonality}");
    if is_rotation {
        assert!(sizes.iter().all(|size| (size - 1.0).abs() < 1e-5), "{init} {sizes:?}");
        assert_close(squares, 7.0, 1e-5, &init);
    }
    if is_rotation && init != "orthogonal" {
        // Of an odd number the last neuron keeps to itself. Angles of cayley end at pi/2.
        let alone = |(re, im): (&f64, &f64)| (re - 1.0).abs() < 1e-6 && im.abs() < 1e-6;
        assert!(re.iter().zip(&im).any(alone), "{init} {re:?}");
        assert!(init != "cayley" || re.iter().all(|re| *re > 0.0), "{re:?}");
    }
}

#[test]
fn mutual_information() {
    let bench = ended(include_str!("../science/mutual_information.yaml"));
    let rows = table(&bench, "mutual_information", &INFORMATION);
    // Four lags and the released formula; at lag 96 four points are left, fewer than neighbours.
    assert_once(&rows, 2 * (4 + 1), &["net", "variant", "lag"]);
    for net in ["heterogeneous", "lstm"] {
        let of = |variant: &str| those(&rows, &json!({"net": net, "variant": variant}), "lag");
        let (corrected, released) = (of("corrected"), of("released"));
        assert_eq!(column(&corrected, "lag"), [0.0, 1.0, 5.0, 20.0]);
        assert_eq!(column(&released, "lag"), [0.0]);
        for row in corrected.iter().chain(&released) {
            let dimension = if row["variant"] == "released" { 6 } else { 3 };
            assert_eq!((&row["dimension"], &row["sequences"]), (&json!(dimension), &json!(10)));
            // A hundred points cannot tell more than which of them it is.
            let nats = number(row, "nats");
            assert!(nats < 100f64.ln() && number(row, "std") >= 0.0, "{row}");
        }
        // Inputs are independent and memory fades: the older they are the less is known, and of those
        // of long ago nothing. Estimates of nothing scatter around 0.
        let nats = column(&corrected, "nats");
        let noise = mean(&column(&corrected, "std"));
        assert!(nats[0] > nats[1] + noise && nats[1] > nats[2] + noise, "{nats:?}");
        assert!(nats[3].abs() < 2.0 * noise, "{nats:?}");
        assert!(number(released[0], "nats") > nats[2], "{released:?}");
    }
}
