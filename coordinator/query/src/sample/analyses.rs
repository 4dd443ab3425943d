//! Sample rows of the analysis tables: at least two of each, with every optional value both present
//! and absent, and non-finite numbers where an analysis can produce them.

use rheo_model::row::{
    ActivationCurveRow, AdaptationRow, ControllerPcaRow, EigenvalueRow, FractionalFitRow,
    FractionalTraceRow, GainFitRow, GainScalingRow, GradientRow, JacobianRow, LyapunovRow,
    MutualInformationRow, Rows, ShapeStepRow, ShapeTraceRow, SlopeContourRow, Variant,
};

const VARIANTS: [Variant; 2] = [Variant::Corrected, Variant::Released];

/// The rows of every analysis except `shapes`.
pub(super) fn rows() -> Rows {
    Rows {
        activation_curves: [-1.0, 0.0, 1.0].map(activation_curve).into(),
        shape_traces: [200, 201, 202].map(shape_trace).into(),
        shape_steps: [1.0, 30.0].map(shape_step).into(),
        gain_scaling: [0.0, 1.0, 2.5].map(gain_scaling).into(),
        gain_fits: [gain_fit("n", "power"), gain_fit("s", "exponential")].into(),
        fractional_traces: [50, 51, 52].map(fractional_trace).into(),
        fractional_fits: VARIANTS.map(fractional_fit).into(),
        adaptation: ["all", "even", "odd"].map(adaptation).into(),
        controller_pca: [0, 399].map(controller_pca).into(),
        lyapunov: [0, 1].map(lyapunov).into(),
        jacobian: [
            jacobian(None, "direct"),
            jacobian(None, "total"),
            jacobian(Some(2.0), "direct"),
        ]
        .into(),
        slope_contours: VARIANTS.map(slope_contour).into(),
        gradients: ["hidden", "controller", "w_hh"].map(gradient).into(),
        eigenvalues: [0, 1].map(eigenvalue).into(),
        mutual_information: [0, 20].map(mutual_information).into(),
        ..Rows::default()
    }
}

fn activation_curve(x: f64) -> ActivationCurveRow {
    ActivationCurveRow {
        epoch: 1,
        variant: Variant::Corrected,
        n: 5.5,
        s: 0.25,
        x,
        value: x.max(0.0),
        slope: 0.5,
    }
}

fn shape_trace(t: u32) -> ShapeTraceRow {
    let driven = if t > 200 { 1.0 } else { 0.0 };
    ShapeTraceRow {
        epoch: 1,
        variant: Variant::Corrected,
        drive: "step_drive".to_owned(),
        xi: 2.5,
        t,
        n_mean: 5.0 - driven,
        n_std: 0.5,
        s_mean: 0.01 * driven,
        s_std: 0.001,
    }
}

fn shape_step(xi: f64) -> ShapeStepRow {
    ShapeStepRow {
        epoch: 1,
        variant: Variant::Corrected,
        xi,
        n_pre: 5.0,
        n_onset: 4.0,
        n_steady: 3.0,
        n_tau: if xi > 10.0 { f64::NAN } else { 12.0 },
        s_pre: 0.0,
        s_onset: 0.005,
        s_steady: 0.01,
        s_tau: 7.0,
    }
}

fn gain_scaling(xi: f64) -> GainScalingRow {
    GainScalingRow {
        epoch: 1,
        variant: Variant::Corrected,
        xi,
        n_mean: 5.75 - xi / 10.0,
        s_mean: 0.003,
    }
}

fn gain_fit(quantity: &str, form: &str) -> GainFitRow {
    GainFitRow {
        epoch: 1,
        variant: Variant::Corrected,
        quantity: quantity.to_owned(),
        form: form.to_owned(),
        a: 0.5,
        b: 0.25,
        c: 5.25,
        rmse: 0.001,
        r2: 0.99,
        pooled_seeds: 1,
    }
}

fn fractional_trace(t: u32) -> FractionalTraceRow {
    FractionalTraceRow {
        epoch: 1,
        variant: Variant::Corrected,
        protocol: "short".to_owned(),
        connectivity: "isolated".to_owned(),
        group: "alpha_le_0".to_owned(),
        group_size: 60,
        xi: 30.0,
        t,
        drive: if t > 50 { 30.0 } else { 0.0 },
        h_mean: 1.5,
        dalpha_h: 0.75,
    }
}

fn fractional_fit(variant: Variant) -> FractionalFitRow {
    let released = variant == Variant::Released;
    FractionalFitRow {
        epoch: 1,
        variant,
        protocol: "long".to_owned(),
        connectivity: "interacting".to_owned(),
        scope: if released { "per_neuron" } else { "all_xi" }.to_owned(),
        neuron: released.then_some(7),
        xi: released.then_some(20.0),
        order: if released { -0.125 } else { f64::NAN },
        alpha: if released { 0.125 } else { f64::NAN },
        gain: 1.0,
        offset: 0.5,
        error: 0.25,
        r2: 0.375,
    }
}

fn adaptation(subset: &str) -> AdaptationRow {
    AdaptationRow {
        epoch: 1,
        variant: Variant::Corrected,
        connectivity: "isolated".to_owned(),
        neuron: 3,
        xi: 30.0,
        subset: subset.to_owned(),
        index: -0.25,
    }
}

fn controller_pca(t: u32) -> ControllerPcaRow {
    ControllerPcaRow {
        epoch: 1,
        variant: Variant::Corrected,
        input: 0.5,
        t,
        pc1: 1.5,
        pc2: -0.5,
        explained1: 0.75,
        explained2: 0.125,
    }
}

fn lyapunov(index: u32) -> LyapunovRow {
    let frozen = index == 0;
    let nats = if frozen { -0.5 } else { f64::NEG_INFINITY };
    LyapunovRow {
        epoch: 1,
        variant: Variant::Corrected,
        mode: if frozen { "frozen" } else { "driven" }.to_owned(),
        system: "joint".to_owned(),
        shape_source: if frozen { "adaptive" } else { "own" }.to_owned(),
        xi: if frozen { 2.5 } else { 0.0 },
        at_step: frozen.then_some(350),
        window_start: 300,
        window_end: 1300,
        index,
        nats,
        bits: nats / std::f64::consts::LN_2,
        std_nats: 0.0,
        sequences: 1,
        steps: 1000,
        skipped_nan: 0,
    }
}

fn jacobian(n: Option<f64>, path: &str) -> JacobianRow {
    JacobianRow {
        epoch: -1,
        variant: Variant::Corrected,
        n,
        s: n.map(|_| 0.5),
        path: path.to_owned(),
        norm_spectral: 0.875,
        norm_inf: 1.25,
        norm_released: (path == "direct").then_some(0.75),
        samples: 100,
    }
}

fn slope_contour(variant: Variant) -> SlopeContourRow {
    let offset = if variant == Variant::Released { 0.013 } else { 0.0 };
    SlopeContourRow { epoch: 1, variant, xi: 1.5, n: 2.0, s: 0.0, slope: 0.953 + offset }
}

fn gradient(kind: &str) -> GradientRow {
    GradientRow {
        epoch: -1,
        variant: Variant::Corrected,
        kind: kind.to_owned(),
        t: 25,
        norm: 1e-9,
        norm_std: 1e-10,
    }
}

fn eigenvalue(index: u32) -> EigenvalueRow {
    EigenvalueRow {
        epoch: -1,
        variant: Variant::Corrected,
        stage: "init".to_owned(),
        index,
        re: 0.6,
        im: if index == 0 { 0.8 } else { -0.8 },
        spectral_radius: 1.0,
        orthogonality: 1e-7,
    }
}

fn mutual_information(lag: u32) -> MutualInformationRow {
    MutualInformationRow {
        epoch: 1,
        variant: Variant::Corrected,
        lag,
        dimension: 3,
        nats: 1.5 / f64::from(1 + lag),
        std: 0.25,
        sequences: 100,
    }
}
