//! Accuracy, limits and the guard of the curves, for every instruction set and both precisions.

use std::f64::consts::LN_2;

use pulp::{Simd, WithSimd};

use super::exact::{self, DoubleDouble};
use super::{GAIN_GUARD, GammaParams, bell, decay, gamma, gamma_slopes, sigmoid, softplus, tanh};
use crate::{Isa, Real};

/// A function of x, or of x, n and s.
#[derive(Debug, Clone, Copy, PartialEq)]
enum Function {
    /// exp(-x), x >= 0.
    Decay,
    Tanh,
    Sigmoid,
    Softplus,
    Bell,
    Gamma,
    GammaWithSlopes,
    Slope(usize),
}

use Function::{Bell, Decay, Gamma, GammaWithSlopes, Sigmoid, Slope, Softplus, Tanh};

const OF_X: [Function; 5] = [Decay, Tanh, Sigmoid, Softplus, Bell];
const OF_SHAPE: [Function; 5] = [Gamma, GammaWithSlopes, Slope(0), Slope(1), Slope(2)];

impl Function {
    #[inline(always)]
    fn of<R: Real, S: Simd>(self, simd: S, [x, n, s]: [R::Vector<S>; 3]) -> R::Vector<S> {
        match self {
            Decay => decay::<R, S>(simd, x),
            Tanh => tanh::<R, S>(simd, x),
            Sigmoid => sigmoid::<R, S>(simd, x),
            Softplus => softplus::<R, S>(simd, x),
            Bell => bell::<R, S>(simd, x),
            Gamma => gamma::<R, S>(simd, x, n, s),
            GammaWithSlopes => GammaParams::<R, S>::new(simd, n, s).gamma_with_slopes(simd, x).0,
            Slope(which) => {
                let slopes = gamma_slopes::<R, S>(simd, x, n, s);
                [slopes.x, slopes.n, slopes.s][which]
            }
        }
    }

    fn exact(self, x: f64) -> DoubleDouble {
        let x = DoubleDouble::from(x);
        match self {
            Decay => (-x).exp(),
            Tanh => x.tanh(),
            Sigmoid => x.sigmoid(),
            Softplus => x.softplus(),
            _ => x.bell(),
        }
    }
}

/// Evaluates a function at many points, one vector at a time.
struct EachPoint<'a, R> {
    function: Function,
    points: [&'a [R]; 3],
    values: &'a mut [R],
}

impl<R: Real> WithSimd for EachPoint<'_, R> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, simd: S) {
        let width = R::lanes::<S>();
        for (i, values) in self.values.chunks_mut(width).enumerate() {
            let part = i * width..i * width + values.len();
            let points = self.points.map(|p| R::partial_load(simd, &p[part.clone()]));
            R::partial_store(simd, values, self.function.of::<R, S>(simd, points));
        }
    }
}

fn values<R: Real>(isa: Isa, function: Function, points: [&[R]; 3]) -> Vec<R> {
    let mut values = vec![R::ZERO; points[0].len()];
    isa.run(EachPoint { function, points, values: &mut values });
    values
}

fn values_of_x<R: Real>(isa: Isa, function: Function, x: &[f64]) -> Vec<f64> {
    let x: Vec<R> = x.iter().map(|x| R::of(*x)).collect();
    values(isa, function, [&x; 3]).into_iter().map(Into::into).collect()
}

fn value<R: Real>(isa: Isa, function: Function, point: [f64; 3]) -> f64 {
    let point = point.map(|p| [R::of(p)]);
    values(isa, function, [&point[0], &point[1], &point[2]])[0].into()
}

/// Whether both numbers are equal, including the sign of zero.
fn is_same(a: f64, b: f64) -> bool {
    a.total_cmp(&b).is_eq()
}

fn is_single<R>() -> bool {
    size_of::<R>() == size_of::<f32>()
}

/// Returns the unit in the last place of `value`.
fn unit<R>(value: f64) -> f64 {
    let power = f64::from_bits(value.abs().to_bits() & f64::INFINITY.to_bits());
    let (step, least) =
        if is_single::<R>() { (2f64.powi(-23), 2f64.powi(-149)) } else { (2f64.powi(-52), 5e-324) };
    (power * step).max(least)
}

/// Returns numbers of both signs: dense where the curves bend, out to the flat ends, tiny and
/// subnormal.
fn sweep<R: Real>() -> Vec<f64> {
    let far = if is_single::<R>() { 110.0 } else { 750.0 };
    let run_on_threads = |i: u32| (f64::from(i) * 0.618_033_988_749_894_9).fract();
    let mut points = vec![0.0, 5e-324, 1e-310, 1e-45, 1e-39];
    points.extend((0..10_000).map(|i| 10.0 * run_on_threads(i)));
    points.extend((0..5_000).map(|i| far * run_on_threads(i)));
    points.extend((0..5_000).map(|i| (-60.0 * run_on_threads(i)).exp2()));
    let rounded = points.into_iter().map(|x| R::of(x).into());
    rounded.flat_map(|x: f64| [x, -x]).collect()
}

/// Checks the largest error of `function`, in units in the last place, for every instruction set.
fn check_accuracy<R: Real>(function: Function, limit: f64) {
    let mut points = sweep::<R>();
    if function == Decay {
        points.retain(|x| *x >= 0.0);
    }
    let exact: Vec<_> = points.iter().map(|x| function.exact(*x)).collect();
    for isa in Isa::all() {
        let values = values_of_x::<R>(isa, function, &points);
        let errors = values.iter().zip(&exact).map(|(value, exact)| {
            ((DoubleDouble::from(*value) - *exact).0 / unit::<R>(exact.0)).abs()
        });
        let worst = errors.zip(&points).max_by(|a, b| a.0.total_cmp(&b.0));
        let (error, x) = worst.unwrap();
        let precision = size_of::<R>();
        assert!(
            error <= limit,
            "{function:?}, {precision} bytes, {}: {error} at {x:e}",
            isa.name()
        );
    }
}

#[test]
fn functions_of_one_argument_are_within_a_few_units_in_the_last_place() {
    // In single precision all numbers between 1e-3 and 95 were tried once for tanh, and about every
    // seventh for the others: the largest errors are 3.8 (4.0 without fused products) and at most
    // 2.5. The unit is that of the exact value, so rounding a larger intermediate result counts
    // double.
    for (function, limit) in
        [(Decay, 1.5), (Tanh, 4.1), (Sigmoid, 2.5), (Softplus, 2.5), (Bell, 2.5)]
    {
        check_accuracy::<f32>(function, limit);
        check_accuracy::<f64>(function, limit);
    }
}

/// Returns points (x, n, s) around those of trained networks, with gains of both signs.
fn shapes<R: Real>() -> Vec<[f64; 3]> {
    let run_on_threads = |i: u32, step: f64, from: f64, to: f64| {
        R::of(from + (to - from) * (f64::from(i) * step).fract()).into()
    };
    let irrational = [0.819_172_513_396_164_4, 0.671_043_606_703_789_3, 0.549_700_477_901_970_4];
    let mut points = Vec::new();
    for i in 0..10_000 {
        let x = run_on_threads(i, irrational[0], -6.0, 6.0);
        let n: f64 = run_on_threads(i, irrational[1], 0.5, 20.0);
        let s = run_on_threads(i, irrational[2], -0.2, 1.7);
        points.push([x, if i % 3 == 0 { -n } else { n }, s]);
    }
    points
}

#[test]
fn gamma_and_its_slopes_are_within_a_few_units_of_their_terms() {
    fn check<R: Real>() {
        let points = shapes::<R>();
        let exact: Vec<_> = points.iter().map(|point| exact::gamma(*point)).collect();
        let [x, n, s] = [0, 1, 2].map(|k| points.iter().map(|p| R::of(p[k])).collect::<Vec<_>>());
        let functions =
            [(Gamma, 0), (GammaWithSlopes, 0), (Slope(0), 1), (Slope(1), 2), (Slope(2), 3)];
        for (isa, (function, which)) in
            Isa::all().into_iter().flat_map(|isa| functions.map(|function| (isa, function)))
        {
            let values = values(isa, function, [&x, &n, &s]);
            for ((point, value), exact) in points.iter().zip(values).zip(&exact) {
                let (exact, size) = exact[which];
                // Rounding n x changes exp(-|n x|) by up to |n x| / 2 units.
                let unit = unit::<R>(size) * (1.0 + (point[0] * point[1]).abs() / 2.0);
                let error = ((DoubleDouble::from(value.into()) - exact).0 / unit).abs();
                let isa = isa.name();
                assert!(error <= 3.5, "{function:?} {isa} at {point:?}: {error} units");
            }
        }
    }
    check::<f32>();
    check::<f64>();
}

/// Check values of the science reference: x, n, s; gamma and its derivatives with respect to x, n,
/// s. The last three rows are inside the guard.
const CHECK_VALUES: [[f64; 7]; 15] = [
    [0.0, 1.0, 0.0, LN_2, 0.5, -LN_2, -0.193_147_180_560],
    [0.0, 5.0, 0.5, 0.319_314_718_056, 0.875, -0.013_862_943_611_2, 0.361_370_563_888],
    [1.0, 1.0, 1.0, 0.731_058_578_630, 0.196_611_933_241, 0.196_611_933_241, -0.582_203_108_888],
    [
        -1.0,
        2.0,
        0.25,
        0.077_398_734_646_6,
        0.141_898_984_218,
        -0.094_748_494_179_7,
        0.055_738_916_500_6,
    ],
    [0.5, 5.0, 0.0, 0.515_777_946_859, 0.924_141_819_979, -0.010_741_407_373_8, 0.408_363_873_120],
    [
        -0.3,
        7.0,
        0.75,
        0.085_948_313_153_1,
        0.537_546_405_502,
        -0.023_627_088_415_3,
        0.092_594_032_169_9,
    ],
    [20.0, 5.0, 0.0, 20.0, 1.0, -1.502_910_694_31e-43, -19.0],
    [
        -20.0,
        5.0,
        0.3,
        1.636_833_429_45e-44,
        8.184_167_147_25e-44,
        -3.284_083_071_63e-43,
        2.976_060_780_82e-44,
    ],
    [10.0, 10.0, 1.0, 1.0, 3.720_075_976_02e-43, 3.720_075_976_02e-43, -9.0],
    [
        -2.0,
        50.0,
        -0.05,
        -1.078_822_033_05e-45,
        -5.394_110_165_23e-44,
        2.142_019_746_99e-45,
        3.645_674_456_50e-44,
    ],
    [
        1.5,
        -2.0,
        0.4,
        0.004_394_143_798_90,
        -0.007_685_803_878_19,
        -0.001_523_749_827_42,
        0.071_719_548_964_4,
    ],
    [0.8, 12.5, 1.5, 1.099_930_087_24, -0.499_126_129_671, 5.607_297_755_91e-5, 0.199_950_970_219],
    [1.0, 0.0, 0.2, 555.017_894_448, 0.400_249_999_971, 0.0, -693.147_055_560],
    [1.0, -0.000_4, 0.2, -554.017_894_448, 0.399_750_000_029, 0.0, 693.147_055_560],
    [-2.0, 0.000_9, 1.0, 0.499_500_000_167, 0.000_249_999_750, 0.0, -691.648_180_560],
];

#[test]
fn gamma_has_the_values_of_the_science_reference() {
    for isa in Isa::all() {
        for [x, n, s, expected @ ..] in CHECK_VALUES {
            for (function, expected) in
                [Gamma, Slope(0), Slope(1), Slope(2)].into_iter().zip(expected)
            {
                let value = value::<f64>(isa, function, [x, n, s]);
                let error = (value - expected).abs();
                assert!(error <= 1e-11 * expected.abs(), "{function:?} at {x} {n} {s}: {value:e}");
            }
        }
    }
}

#[test]
fn limits_are_reached_exactly() {
    fn check<R: Real>(isa: Isa) {
        let infinity = f64::INFINITY;
        let huge = if is_single::<R>() { 3e38 } else { 1e308 };
        for (function, x, expected) in [
            (Decay, 0.0, 1.0),
            (Decay, huge, 0.0),
            (Decay, infinity, 0.0),
            (Tanh, 0.0, 0.0),
            (Tanh, 20.0, 1.0),
            (Tanh, -20.0, -1.0),
            (Tanh, huge, 1.0),
            (Tanh, -infinity, -1.0),
            (Sigmoid, 0.0, 0.5),
            (Sigmoid, huge, 1.0),
            (Sigmoid, infinity, 1.0),
            (Sigmoid, -huge, 0.0),
            (Sigmoid, -infinity, 0.0),
            (Softplus, 800.0, 800.0),
            (Softplus, infinity, infinity),
            (Softplus, -huge, 0.0),
            (Softplus, -infinity, 0.0),
            (Bell, 0.0, 0.25),
            (Bell, huge, 0.0),
            (Bell, -infinity, 0.0),
        ] {
            let value = value::<R>(isa, function, [x; 3]);
            assert!(
                is_same(value, expected),
                "{function:?} of {x:e} with {}: {value:e}",
                isa.name()
            );
        }
    }
    for isa in Isa::all() {
        check::<f32>(isa);
        check::<f64>(isa);
    }
}

#[test]
fn tanh_is_odd_and_never_beyond_one() {
    fn check<R: Real>(isa: Isa) {
        // Pairs of opposite sign.
        let values = values_of_x::<R>(isa, Tanh, &sweep::<R>());
        for pair in values.chunks(2) {
            assert!(
                is_same(pair[0], -pair[1]) && pair[0].abs() <= 1.0,
                "{pair:?} with {}",
                isa.name()
            );
        }
    }
    for isa in Isa::all() {
        check::<f32>(isa);
        check::<f64>(isa);
    }
}

#[test]
fn a_nan_stays_a_nan() {
    fn check<R: Real>(isa: Isa, patterns: &[R]) {
        for pattern in patterns {
            // The other lanes are unchanged.
            let (x, ones) = ([R::ONE, *pattern, R::ONE], [R::ONE; 3]);
            let of_x = OF_X.map(|function| (function, [&x[..], &ones, &ones]));
            let of_shape = OF_SHAPE.into_iter().flat_map(|function| {
                let all = [[&x[..], &ones, &ones], [&ones, &x, &ones], [&ones, &ones, &x]];
                all.map(|points| (function, points))
            });
            for (function, points) in of_x.into_iter().chain(of_shape) {
                let values = values(isa, function, points);
                // The derivative with respect to s does not depend on s.
                let is_lost = function == Slope(2) && points[2][1] != R::ONE;
                let is_nan = values[1] != values[1];
                assert!(is_nan || is_lost, "{function:?} with {}: {values:?}", isa.name());
                assert!(values[0] == values[2], "{function:?} with {}: {values:?}", isa.name());
            }
        }
    }
    for isa in Isa::all() {
        let single = [0x7fc0_0000, 0xffc0_0000, 0x7fff_ffff, 0x7fc0_01ff].map(f32::from_bits);
        check::<f32>(isa, &single);
        check::<f64>(isa, &[f64::NAN, -f64::NAN, f64::from_bits(u64::MAX)]);
    }
}

#[test]
fn a_gain_close_to_zero_is_replaced_and_has_no_slope() {
    fn check<R: Real>(isa: Isa) {
        let guard: f64 = R::of(GAIN_GUARD).into();
        for (n, replaced) in
            [(0.0, guard), (-0.0, guard), (9e-4, guard), (-9e-4, -guard), (-1e-30, -guard)]
        {
            for function in OF_SHAPE {
                let [given, same] =
                    [n, replaced].map(|n| value::<R>(isa, function, [-2.0, n, 0.3]));
                let expected = if function == Slope(1) { 0.0 } else { same };
                assert!(is_same(given, expected), "{function:?} at {n:e} with {}", isa.name());
            }
        }
        let [up, down] = [guard, -guard].map(|n| value::<R>(isa, Slope(1), [-2.0, n, 0.3]));
        assert!(up != 0.0 && down != 0.0, "gains at the guard are used as they are");
    }
    for isa in Isa::all() {
        check::<f32>(isa);
        check::<f64>(isa);
    }
}

#[test]
fn no_finite_argument_gives_infinity_or_nan() {
    fn check<R: Real>(isa: Isa, huge: f64) {
        let sizes = [0.0, 1e-30, 1.0, 90.0, 105.0, 800.0, huge];
        let inputs = sizes.into_iter().flat_map(|x| [x, -x]);
        let gains = || [1e-3, 1.0, 50.0, huge].into_iter().flat_map(|n| [n, -n]);
        let shapes = || gains().flat_map(|n| [0.0, 0.3, 1.0].map(|s| (n, s)));
        let points: Vec<_> = inputs.flat_map(|x| shapes().map(move |(n, s)| [x, n, s])).collect();
        let [x, n, s] = [0, 1, 2].map(|k| points.iter().map(|p| R::of(p[k])).collect::<Vec<_>>());
        for function in OF_X.into_iter().chain(OF_SHAPE) {
            let values = values(isa, function, [&x, &n, &s]);
            for (point, value) in points.iter().zip(values) {
                let value: f64 = value.into();
                let skipped = function == Decay && point[0] < 0.0;
                assert!(value.is_finite() || skipped, "{function:?} at {point:?}: {value:e}");
            }
        }
    }
    for isa in Isa::all() {
        check::<f32>(isa, 3e38);
        check::<f64>(isa, 1.7e308);
    }
}

#[test]
fn gamma_at_infinity_has_its_limit() {
    for isa in Isa::all() {
        for (function, x, expected) in [
            (Gamma, f64::INFINITY, f64::INFINITY),
            (Gamma, f64::NEG_INFINITY, 0.0),
            (Slope(0), f64::INFINITY, 0.5),
            (Slope(0), f64::NEG_INFINITY, 0.0),
            (Slope(1), f64::INFINITY, 0.0),
            (Slope(1), f64::NEG_INFINITY, -0.0),
            (Slope(2), f64::INFINITY, f64::NEG_INFINITY),
            (Slope(2), f64::NEG_INFINITY, 0.0),
        ] {
            let point = [x, 5.0, 0.5];
            let values = [value::<f32>(isa, function, point), value::<f64>(isa, function, point)];
            let all_same = values.into_iter().all(|value| is_same(value, expected));
            assert!(all_same, "{function:?} at {x} with {}: {values:?}", isa.name());
        }
    }
}
