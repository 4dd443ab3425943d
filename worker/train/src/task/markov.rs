//! Generated text: a first-order Markov chain (science reference, section 4). Its entropy rate is
//! the lowest loss that a model of the text can reach.

use rheo_core::rng::TrialRng;

use super::buffer;
use crate::Error;

/// Number of symbols of the chain.
pub(super) const SYMBOLS: usize = 27;

/// Returns the transition probabilities: P\[i\]\[j\] proportional to exp(3 sin(1 + 27 i + j)), with
/// rows that sum to 1.
pub(super) fn transitions() -> [[f64; SYMBOLS]; SYMBOLS] {
    std::array::from_fn(|i| {
        let weight = |j: usize| (3.0 * ((1 + SYMBOLS * i + j) as f64).sin()).exp();
        let weights: [f64; SYMBOLS] = std::array::from_fn(weight);
        let sum: f64 = weights.iter().sum();
        weights.map(|weight| weight / sum)
    })
}

/// Returns the first `length` symbols of a chain that starts with symbol 0; each further one takes
/// one uniform number.
pub(super) fn text(length: usize, rng: &mut TrialRng) -> Result<Vec<u32>, Error> {
    let cumulative = transitions().map(|row| {
        let mut sum = 0.0;
        row.map(|probability| {
            sum += probability;
            sum
        })
    });
    let mut symbols: Vec<u32> = buffer("a generated text", length)?;
    let mut current = 0;
    for symbol in symbols.iter_mut().skip(1) {
        let drawn = rng.unit();
        let next = cumulative[current].partition_point(|&below| below <= drawn);
        // The last sum may be below 1 by a rounding error.
        current = next.min(SYMBOLS - 1);
        *symbol = u32::try_from(current).unwrap_or_default();
    }
    Ok(symbols)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn oracle(name: &str) -> f64 {
        let all: serde_json::Value =
            serde_json::from_str(include_str!("../../tests/goldens/oracles.json")).unwrap();
        all["tasks"]["markov"][name].as_f64().unwrap()
    }

    fn close(found: f64, expected: f64) -> bool {
        (found - expected).abs() <= 1e-9 * expected.abs() + 1e-12
    }

    /// Returns the stationary distribution: the chain mixes within a few steps.
    fn stationary(p: &[[f64; SYMBOLS]; SYMBOLS]) -> [f64; SYMBOLS] {
        (0..1000).fold([1.0 / SYMBOLS as f64; SYMBOLS], |before, _| {
            std::array::from_fn(|j| (0..SYMBOLS).map(|i| before[i] * p[i][j]).sum())
        })
    }

    fn entropy_bits(distribution: &[f64]) -> f64 {
        distribution.iter().map(|p| -p * p.log2()).sum()
    }

    #[test]
    fn the_chain_is_that_of_the_reference() {
        let p = transitions();
        let stationary = stationary(&p);
        let rate: f64 = (0..SYMBOLS).map(|i| stationary[i] * entropy_bits(&p[i])).sum();
        for (found, name) in [
            (p[0][0], "p_0_0"),
            (p[26][26], "p_26_26"),
            (stationary[0], "stationary_0"),
            (rate, "entropy_rate_bits"),
            (entropy_bits(&stationary), "unigram_bits"),
        ] {
            assert!(close(found, oracle(name)), "{name}: {found}, not {}", oracle(name));
        }
    }

    #[test]
    fn symbol_pairs_have_the_frequencies_of_the_chain() {
        let p = transitions();
        let text = text(500_000, &mut TrialRng::stream(0, 1 << 40)).unwrap();
        assert_eq!(text[0], 0);
        let mut counts = [[0u32; SYMBOLS]; SYMBOLS];
        for pair in text.windows(2) {
            counts[pair[0] as usize][pair[1] as usize] += 1;
        }
        let (mut bits, mut chi_squared) = (0.0, 0.0);
        for (row, probabilities) in counts.iter().zip(&p) {
            let total = f64::from(row.iter().sum::<u32>());
            for (&count, &probability) in row.iter().zip(probabilities) {
                let expected = total * probability;
                // The expected count of the rarest pair is above five.
                assert!(expected > 5.0, "{expected}");
                chi_squared += (f64::from(count) - expected).powi(2) / expected;
                bits -= f64::from(count) * probability.log2();
            }
        }
        // Pearson's statistic has 27 x 26 degrees of freedom and the standard deviation sqrt(2 x
        // 702).
        let freedom = (SYMBOLS * (SYMBOLS - 1)) as f64;
        let bound = 5.0 * (2.0 * freedom).sqrt();
        assert!((chi_squared - freedom).abs() < bound, "{chi_squared}, not {freedom}");
        // The cost of the text equals its entropy rate: the standard deviation of a symbol's
        // surprise is below 3 bits.
        let mean = bits / (text.len() - 1) as f64;
        let bound = 5.0 * 3.0 / (text.len() as f64).sqrt();
        assert!((mean - oracle("entropy_rate_bits")).abs() < bound, "{mean}");
    }
}
