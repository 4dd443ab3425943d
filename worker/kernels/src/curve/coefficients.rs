//! Coefficients of the approximations, for single and double precision.
//!
//! We fitted all of them for the smallest maximum relative error, in 40 to 60 digits. Polynomials:
//! Remez exchange; the first coefficients are rounded one by one and the rest is fitted again each
//! time. Rational function: least squares with Lawson's weights; the single-precision coefficients
//! are then moved by units in the last place as long as the error decreases. The errors given are
//! those of the rounded coefficients in exact arithmetic; 2^-24 and 2^-53 are the maximum errors of
//! a single rounding.

/// Coefficients for one precision.
pub(super) struct CoefficientTable {
    /// P of tanh(x / 2) = (x / 2) P(x^2) / Q(x^2), from the linear coefficient on, fitted for the
    /// smallest relative error of tanh x. The constants of P and Q are one, so small x are
    /// unchanged; all other coefficients are positive, so nothing cancels.
    pub(super) half_above: &'static [f64],
    /// Q of the same fit, from the linear coefficient on.
    pub(super) half_below: &'static [f64],
    /// End of the fitted range; the rounded tanh x is one there.
    pub(super) half_end: f64,
    /// Coefficients of exp(-r) for |r| <= ln(2) / 2, from the constant on.
    pub(super) decay: &'static [f64],
    /// Argument m at which exp(-m) is less than half the smallest positive number.
    pub(super) decay_end: f64,
    /// Power of two by which the mantissa of exp(-m) is reduced, and its logarithm. The exponent
    /// that is put in later then belongs to a normal number even where the result does not.
    pub(super) headroom: (f64, f64),
    /// ln 2 in two parts. The first part has few bits, so that its product with an exponent is
    /// exact.
    pub(super) ln_2: (f64, f64),
    /// Coefficients of ln(1 + e) / e for 0 <= e <= 1, from the constant on.
    pub(super) log: &'static [f64],
}

/// Returns the coefficients for `R`.
pub(super) const fn table<R>() -> &'static CoefficientTable {
    if size_of::<R>() == size_of::<f32>() { &SINGLE } else { &DOUBLE }
}

/// Maximum errors: tanh 2^-26.6, exp 2^-28.0, ln(1 + e) 2^-27.3.
static SINGLE: CoefficientTable = CoefficientTable {
    half_above: &[0.029_756_762_087_345_123, 0.000_113_892_230_729_106_81],
    half_below: &[
        0.113_090_053_200_721_74,
        0.001_204_772_852_361_202_2,
        1.221_565_867_126_628_3e-6,
    ],
    half_end: 9.3,
    decay: &[
        1.0,
        -1.0,
        0.499_999_940_395_355_2,
        -0.166_665_226_221_084_6,
        0.041_668_109_595_775_604,
        -0.008_368_519_134_819_508,
        0.001_383_382_477_797_567_8,
    ],
    decay_end: 104.0,
    headroom: (18_446_744_073_709_551_616.0, 64.0),
    ln_2: (355.0 / 512.0, -0.000_212_194_440_054_690_57),
    log: &[
        1.0,
        -0.499_999_314_546_585_1,
        0.333_304_643_630_981_45,
        -0.249_580_189_585_685_73,
        0.196_921_020_746_231_08,
        -0.153_448_805_212_974_55,
        0.106_611_266_732_215_88,
        -0.057_457_175_105_810_165,
        0.020_086_172_968_149_185,
        -0.003_290_439_955_890_178_7,
    ],
};

/// Maximum errors: tanh 2^-57.8, exp 2^-57.0, ln(1 + e) 2^-56.3.
static DOUBLE: CoefficientTable = CoefficientTable {
    half_above: &[
        0.036_486_736_405_321_71,
        0.000_319_687_618_330_401_07,
        9.834_980_876_095_04e-7,
        1.129_439_372_188_977e-9,
        4.073_486_615_320_092e-13,
        2.064_188_009_982_026_7e-17,
    ],
    half_below: &[
        0.119_820_069_738_655_03,
        0.001_971_360_096_551_678_2,
        1.001_689_323_207_899_7e-5,
        1.892_942_668_353_106_8e-8,
        1.269_594_125_618_939_7e-11,
        2.088_334_574_089_428_2e-15,
    ],
    half_end: 19.4,
    decay: &[
        1.0,
        -1.0,
        0.500_000_000_000_001_1,
        -0.166_666_666_666_666_5,
        0.041_666_666_666_529_29,
        -0.008_333_333_333_432_223,
        0.001_388_888_894_449_078_2,
        -0.000_198_412_695_258_435_92,
        2.480_149_122_023_295_6e-5,
        -2.755_763_460_729_033e-6,
        2.763_127_725_541_803e-7,
        -2.497_126_234_704_928_4e-8,
    ],
    decay_end: 746.0,
    headroom: (340_282_366_920_938_463_463_374_607_431_768_211_456.0, 128.0),
    ln_2: (0.693_147_180_559_208_2, 7.371_002_565_167_799e-13),
    log: &[
        1.0,
        -0.499_999_999_999_994_6,
        0.333_333_333_332_352_54,
        -0.249_999_999_936_859_37,
        0.199_999_997_915_484_62,
        -0.166_666_625_018_977_8,
        0.142_856_589_318_259_67,
        -0.124_994_798_646_449_59,
        0.111_075_073_535_678_93,
        -0.099_810_204_807_355_45,
        0.090_131_712_489_433_8,
        -0.080_812_550_807_988_41,
        0.070_356_270_428_812_47,
        -0.057_503_314_374_089_315,
        0.042_301_661_425_342_36,
        -0.026_745_372_960_784_178,
        0.013_839_555_876_639_913,
        -0.005_543_590_934_459_522,
        0.001_595_906_480_374_163_2,
        -0.000_291_796_105_487_295_4,
        2.533_335_001_238_715_2e-5,
    ],
};
