//! Norms of the reference networks.

use super::*;
use crate::analysis::reference::{assert_close, inputs, network, numbers, oracles};
use crate::tensor::to_doubles;

/// Returns the paths of the last step of sample 0.
fn last_paths(network: &Network) -> Vec<(&'static str, Tensor)> {
    let _guard = no_grad_guard();
    let mut last = Vec::new();
    let visit = &mut |step: &LayerStep| {
        last = paths(network, step, true)?;
        Ok(())
    };
    network
        .run(&inputs(4, 1), RunConditions::default(), &mut ShapeStats::counting(), visit)
        .unwrap();
    last
}

#[test]
fn slopes_and_norms_have_the_reference_values() {
    for label in ["gamma_het", "adaptive"] {
        let network = network(label);
        let oracle = &oracles()["jacobian"][label];
        let w_hh = network.parameter("w_hh").unwrap().detach();
        let norms = JacobianNorms { w_hh, start: Tensor::from_slice(&[1.0f64, 0.3, -0.2]) };
        let found = last_paths(&network);
        assert_eq!(found.len(), if label == "adaptive" { 2 } else { 1 });
        for (path, q) in &found {
            let what = format!("{label} {path}");
            let expected = numbers(&oracle[format!("slope_{path}")]);
            assert_close(&what, &to_doubles(q).unwrap(), &expected);
            // Without early termination, because the reference is exact.
            let exact = norms.of(q, IterationLimit { most: 1000, change: 0.0 }).unwrap();
            for (name, found) in ["spectral", "inf", "released"].iter().zip(exact) {
                let Some(expected) = oracle[path][name].as_f64() else { continue };
                assert_close(&format!("{what} {name}"), &to_doubles(&found).unwrap(), &[expected]);
            }
        }
    }
}

#[test]
fn held_shapes_leave_only_the_direct_path() {
    let network = network("adaptive");
    let ones = Tensor::ones([3], (Kind::Double, tch::Device::Cpu));
    let shape_override = ShapeOverride { n: &ones * 5.0, s: &ones * 0.0 };
    let conditions =
        RunConditions { shape_override: Some(&shape_override), ..RunConditions::default() };
    let visit = &mut |step: &LayerStep| {
        let found = paths(&network, step, false)?;
        assert_eq!(found.len(), 1);
        // s = 0: the slope is sigma(5 a).
        let expected = (step.a.as_ref().unwrap() * 5.0).sigmoid();
        assert_close("held", &to_doubles(&found[0].1)?, &to_doubles(&expected)?);
        Ok(())
    };
    tch::no_grad(|| network.run(&inputs(4, 2), conditions, &mut ShapeStats::counting(), visit))
        .unwrap();
}
