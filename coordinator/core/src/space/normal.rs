//! Quantiles and probabilities of the standard normal distribution. The module is separate, because it is all
//! coefficients.
//!
//! Wichura M J (1988), Algorithm AS 241: The percentage points of the normal distribution, Applied
//! Statistics 37:477-484, routine PPND16: relative error about 1e-16.

#![expect(
    clippy::excessive_precision,
    reason = "the digits are those of the paper, to compare them"
)]

const CENTRE: [[f64; 8]; 2] = [
    [
        3.387_132_872_796_366_608,
        133.141_667_891_784_377_45,
        1_971.590_950_306_551_442_7,
        13_731.693_765_509_461_125,
        45_921.953_931_549_871_457,
        67_265.770_927_008_700_853,
        33_430.575_583_588_128_105,
        2_509.080_928_730_122_672_7,
    ],
    [
        1.0,
        42.313_330_701_600_911_252,
        687.187_007_492_057_908_3,
        5_394.196_021_424_751_107_7,
        21_213.794_301_586_595_867,
        39_307.895_800_092_710_61,
        28_729.085_735_721_942_674,
        5_226.495_278_852_854_561,
    ],
];

const MIDDLE: [[f64; 8]; 2] = [
    [
        1.423_437_110_749_683_577_34,
        4.630_337_846_156_545_295_9,
        5.769_497_221_460_691_405_5,
        3.647_848_324_763_204_605_04,
        1.270_458_252_452_368_382_58,
        0.241_780_725_177_450_611_77,
        0.022_723_844_989_269_184_583_3,
        7.745_450_142_783_414_076_4e-4,
    ],
    [
        1.0,
        2.053_191_626_637_758_821_87,
        1.676_384_830_183_803_849_4,
        0.689_767_334_985_100_004_55,
        0.148_103_976_427_480_074_59,
        0.015_198_666_563_616_457_196_6,
        5.475_938_084_995_344_946e-4,
        1.050_750_071_644_416_843_24e-9,
    ],
];

const TAIL: [[f64; 8]; 2] = [
    [
        6.657_904_643_501_103_777_2,
        5.463_784_911_164_114_369_9,
        1.784_826_539_917_291_335_8,
        0.296_560_571_828_504_891_23,
        0.026_532_189_526_576_123_093,
        1.242_660_947_388_078_438_6e-3,
        2.711_555_568_743_487_578_15e-5,
        2.010_334_399_292_288_132_65e-7,
    ],
    [
        1.0,
        0.599_832_206_555_887_937_69,
        0.136_929_880_922_735_805_31,
        0.014_875_361_290_850_614_852_5,
        7.868_691_311_456_132_591e-4,
        1.846_318_317_510_054_681_8e-5,
        1.421_511_758_316_445_888_7e-7,
        2.044_263_103_389_939_785_64e-15,
    ],
];

/// Returns the probability of values below `z`.
pub(crate) fn probability(z: f64) -> f64 {
    0.5 * libm::erfc(-z * std::f64::consts::FRAC_1_SQRT_2)
}

/// Returns the quantile at `p`, 0 < p < 1.
pub(crate) fn quantile(p: f64) -> f64 {
    let q = p - 0.5;
    if q.abs() <= 0.425 {
        return q * ratio(&CENTRE, 0.180_625 - q * q);
    }
    let r = (-p.min(1.0 - p).ln()).sqrt();
    let size = if r <= 5.0 { ratio(&MIDDLE, r - 1.6) } else { ratio(&TAIL, r - 5.0) };
    size.copysign(q)
}

/// Returns the ratio of two polynomials, each with its constant coefficient first.
fn ratio([above, below]: &[[f64; 8]; 2], x: f64) -> f64 {
    let polynomial =
        |coefficients: &[f64; 8]| coefficients.iter().rev().fold(0.0, |y, c| y * x + c);
    polynomial(above) / polynomial(below)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quantiles_agree_with_tabulated_ones() {
        // Independent values, to 16 digits, from the definition with 50-digit arithmetic.
        let table = [
            (0.5, 0.0),
            (0.6, 0.253_347_103_135_799_8),
            (0.75, 0.674_489_750_196_081_7),
            (0.925, 1.439_531_470_938_455_9),
            (0.975, 1.959_963_984_540_054_2),
            (1e-3, -3.090_232_306_167_813_5),
            (1e-9, -5.997_807_015_007_686_9),
            (1e-12, -7.034_483_825_301_131_9),
            (1e-100, -21.273_453_560_965_32),
        ];
        for (p, expected) in table {
            let found = quantile(p);
            assert!((found - expected).abs() <= 4e-15 * f64::abs(expected), "{p}: {found}");
        }
        assert!((quantile(0.25) + quantile(0.75)).abs() < 1e-15, "symmetric");
    }
}
