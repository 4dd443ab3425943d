//! Domains of parameters: their values and distributions.
//!
//! A finite domain numbers its values from 0 (its *rows*) without listing them. Every domain maps a
//! number in (0, 1) to a value by its quantile function, which serves random and Sobol search
//! alike.

use std::fmt;

use serde::{Deserialize, Serialize};
use serde_json::Value as Json;

use super::expression::Operand;
use super::normal;

/// The values of a parameter; distributions have W&B's names.
///
/// Distributions with `q` take multiples of `q`, as in W&B, but only those in `[min, max]` (W&B
/// drops or exceeds the ends). Those of `q_uniform` are equally likely; rounding, as W&B does,
/// would halve the ends.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "distribution", rename_all = "snake_case")]
pub enum Domain {
    /// A single value.
    Constant {
        /// The value.
        value: Json,
    },
    /// A list of values.
    Categorical {
        /// The values.
        values: Vec<Json>,
        /// The probabilities of the values, if they differ; positive, summing to 1.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        probabilities: Option<Vec<f64>>,
    },
    /// Integers from `min` to `max`, equally likely.
    IntUniform {
        /// The smallest value.
        min: i64,
        /// The largest value.
        max: i64,
    },
    /// Uniformly distributed numbers.
    Uniform {
        /// The lower bound.
        min: f64,
        /// The upper bound.
        max: f64,
    },
    /// Multiples of `q`, equally likely.
    QUniform {
        /// The lower bound.
        min: f64,
        /// The upper bound.
        max: f64,
        /// The distance between values.
        q: f64,
        /// Whether the field takes integers.
        #[serde(default)]
        whole: bool,
    },
    /// Numbers with a uniformly distributed logarithm.
    LogUniformValues {
        /// The lower bound, positive.
        min: f64,
        /// The upper bound.
        max: f64,
    },
    /// Numbers with a uniformly distributed logarithm, rounded to multiples of `q`.
    QLogUniformValues {
        /// The lower bound, positive.
        min: f64,
        /// The upper bound.
        max: f64,
        /// The distance between values.
        q: f64,
        /// Whether the field takes integers.
        #[serde(default)]
        whole: bool,
    },
    /// Normally distributed numbers.
    Normal {
        /// The mean.
        mu: f64,
        /// The standard deviation.
        sigma: f64,
    },
    /// Numbers with a normally distributed natural logarithm.
    LogNormal {
        /// The mean of the logarithm.
        mu: f64,
        /// The standard deviation of the logarithm.
        sigma: f64,
    },
}

/// Formats the values for users: `small, large` or `log_uniform_values 0.0001 to 0.01`.
impl fmt::Display for Domain {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Constant { value } => f.write_str(&plain(value)),
            Self::Categorical { values, probabilities } => {
                let probability = |index| probabilities.as_ref().and_then(|all| all.get(index));
                let values = values.iter().enumerate().map(|(index, value)| {
                    let value = plain(value);
                    probability(index).map_or(value.clone(), |p| format!("{value} ({p})"))
                });
                f.write_str(&values.collect::<Vec<_>>().join(", "))
            }
            Self::IntUniform { min, max } => write!(f, "int_uniform {min} to {max}"),
            Self::Uniform { min, max } => write!(f, "uniform {min} to {max}"),
            Self::QUniform { min, max, q, .. } => write!(f, "q_uniform {min} to {max} by {q}"),
            Self::LogUniformValues { min, max } => write!(f, "log_uniform_values {min} to {max}"),
            Self::QLogUniformValues { min, max, q, .. } => {
                write!(f, "q_log_uniform_values {min} to {max} by {q}")
            }
            Self::Normal { mu, sigma } => write!(f, "normal {mu} +- {sigma}"),
            Self::LogNormal { mu, sigma } => write!(f, "log_normal {mu} +- {sigma}"),
        }
    }
}

/// Returns a value without quotes.
fn plain(value: &Json) -> String {
    value.as_str().map_or_else(|| value.to_string(), str::to_owned)
}

/// The choice on one axis of a space at a point.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) enum AxisPick {
    /// The parameters of the axis do not exist there.
    Inactive,
    /// A row of a finite domain.
    Row(u64),
    /// A value of a continuous domain.
    Value(f64),
}

impl Domain {
    /// Returns the number of values; `None` for a continuum.
    pub fn size(&self) -> Option<u64> {
        match self {
            Self::Constant { .. } => Some(1),
            Self::Categorical { values, .. } => Some(values.len() as u64),
            Self::IntUniform { min, max } => Some(max.abs_diff(*min).saturating_add(1)),
            Self::QUniform { .. } | Self::QLogUniformValues { .. } => {
                self.steps().map(MultiplesOfQ::count)
            }
            Self::Uniform { .. }
            | Self::LogUniformValues { .. }
            | Self::Normal { .. }
            | Self::LogNormal { .. } => None,
        }
    }

    /// Returns the largest number among the values, if there is one.
    pub fn max(&self) -> Option<f64> {
        match self {
            Self::Constant { value } => value.as_f64(),
            Self::Categorical { values, .. } => {
                values.iter().filter_map(Json::as_f64).max_by(f64::total_cmp)
            }
            #[expect(clippy::cast_precision_loss, reason = "a bound, not a value")]
            Self::IntUniform { max, .. } => Some(*max as f64),
            Self::Uniform { max, .. }
            | Self::QUniform { max, .. }
            | Self::LogUniformValues { max, .. }
            | Self::QLogUniformValues { max, .. } => Some(*max),
            Self::Normal { .. } | Self::LogNormal { .. } => None,
        }
    }

    /// Whether all values are equally likely.
    pub(crate) fn is_uniform(&self) -> bool {
        match self {
            Self::Constant { .. } | Self::IntUniform { .. } | Self::QUniform { .. } => true,
            Self::Categorical { probabilities, .. } => probabilities.is_none(),
            _ => false,
        }
    }

    /// Returns the value in a row below [`Self::size`].
    pub(crate) fn value(&self, row: u64) -> Json {
        match self {
            Self::Constant { value } => value.clone(),
            Self::Categorical { values, .. } => {
                let value = usize::try_from(row).ok().and_then(|row| values.get(row));
                value.cloned().unwrap_or_default()
            }
            Self::IntUniform { min, .. } => Json::from(min.saturating_add_unsigned(row)),
            Self::QUniform { whole, .. } | Self::QLogUniformValues { whole, .. } => {
                number(self.steps().map_or(f64::NAN, |steps| steps.value(row)), *whole)
            }
            _ => Json::Null,
        }
    }

    /// Returns the value in a row as an operand of a constraint; none for null.
    pub(crate) fn operand(&self, row: u64) -> Option<Operand<'_>> {
        match self {
            Self::Constant { value } => operand(value),
            Self::Categorical { values, .. } => {
                usize::try_from(row).ok().and_then(|row| values.get(row)).and_then(operand)
            }
            Self::IntUniform { min, .. } => {
                Some(Operand::Number(min.saturating_add_unsigned(row) as f64))
            }
            _ => self.steps().map(|steps| Operand::Number(steps.value(row))),
        }
    }

    /// Returns the row of `value`, if there is one.
    pub(crate) fn row_of(&self, value: &Json) -> Option<u64> {
        match self {
            Self::Constant { value: only } => (only == value).then_some(0),
            Self::Categorical { values, .. } => {
                values.iter().position(|known| known == value).map(|row| row as u64)
            }
            Self::IntUniform { min, max } => {
                let whole = value.as_i64().or_else(|| whole(value.as_f64()?))?;
                (*min..=*max).contains(&whole).then(|| whole.abs_diff(*min))
            }
            _ => self.steps()?.row_of(value.as_f64()?),
        }
    }

    /// Returns the pick of `value`, if it is in the domain.
    pub(crate) fn pick_of(&self, value: &Json) -> Option<AxisPick> {
        let x = value.as_f64();
        match self {
            Self::Uniform { min, max } | Self::LogUniformValues { min, max } => {
                x.filter(|x| (min..=max).contains(&x)).map(AxisPick::Value)
            }
            Self::Normal { .. } => x.map(AxisPick::Value),
            Self::LogNormal { .. } => x.filter(|x| *x > 0.0).map(AxisPick::Value),
            _ => self.row_of(value).map(AxisPick::Row),
        }
    }

    /// Returns the quantile at `u`, 0 < u < 1.
    pub(crate) fn quantile(&self, u: f64) -> AxisPick {
        match self {
            Self::Categorical { values, probabilities: Some(probabilities) } => {
                AxisPick::Row(weighted_row(probabilities, u).min(values.len() as u64 - 1))
            }
            Self::QLogUniformValues { min, max, .. } => {
                let x = log_uniform(*min, *max, u);
                AxisPick::Row(self.steps().map_or(0, |steps| steps.nearest(x)))
            }
            Self::Uniform { min, max } => {
                AxisPick::Value((min + u * (max - min)).clamp(*min, *max))
            }
            Self::LogUniformValues { min, max } => AxisPick::Value(log_uniform(*min, *max, u)),
            Self::Normal { mu, sigma } => AxisPick::Value(mu + sigma * normal::quantile(u)),
            Self::LogNormal { mu, sigma } => {
                AxisPick::Value((mu + sigma * normal::quantile(u)).exp())
            }
            Self::Constant { .. }
            | Self::Categorical { .. }
            | Self::IntUniform { .. }
            | Self::QUniform { .. } => AxisPick::Row(even_row(self.size().unwrap_or(1), u)),
        }
    }

    /// Returns the probability of values below `value` in a continuous domain.
    pub(crate) fn probability(&self, value: &Json) -> Option<f64> {
        let x = value.as_f64()?;
        let u = match self {
            Self::Uniform { min, max } => (x - min) / (max - min),
            Self::LogUniformValues { min, max } => log_fraction(*min, *max, x),
            Self::Normal { mu, sigma } => normal::probability((x - mu) / sigma),
            Self::LogNormal { mu, sigma } => normal::probability((x.ln() - mu) / sigma),
            _ => return None,
        };
        u.is_finite().then_some(u.clamp(0.0, 1.0))
    }

    /// Returns the interval of probabilities whose quantile is `row`, if rows of this domain are
    /// not equally likely.
    pub(crate) fn uneven_cell(&self, row: u64) -> Option<(f64, f64)> {
        let Self::QLogUniformValues { min, max, q, .. } = self else { return None };
        let steps = self.steps()?;
        let edge = |x: f64| if x > *min { log_fraction(*min, *max, x.min(*max)) } else { 0.0 };
        let (value, half) = (steps.value(row), q / 2.0);
        let low = if row == 0 { 0.0 } else { edge(value - half) };
        let high = if row + 1 == steps.count() { 1.0 } else { edge(value + half) };
        Some((low, high))
    }

    fn steps(&self) -> Option<MultiplesOfQ> {
        match self {
            Self::QUniform { min, max, q, .. } | Self::QLogUniformValues { min, max, q, .. } => {
                Some(MultiplesOfQ::new(*min, *max, *q))
            }
            _ => None,
        }
    }
}

/// Returns a row of `size` equally likely ones.
#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "a conversion of a float saturates, and the result is bounded right after"
)]
fn even_row(size: u64, u: f64) -> u64 {
    ((u * size as f64) as u64).min(size.saturating_sub(1))
}

/// Returns the first row whose cumulative probability exceeds `u`.
fn weighted_row(probabilities: &[f64], u: f64) -> u64 {
    let mut sum = 0.0;
    let row = probabilities.iter().position(|probability| {
        sum += probability;
        u < sum
    });
    row.unwrap_or(probabilities.len()) as u64
}

fn log_uniform(min: f64, max: f64, u: f64) -> f64 {
    (min.ln() + u * (max.ln() - min.ln())).exp().clamp(min, max)
}

/// Returns the probability of values below `x` if the logarithm is uniformly distributed.
fn log_fraction(min: f64, max: f64, x: f64) -> f64 {
    (x.ln() - min.ln()) / (max.ln() - min.ln())
}

/// Returns a number as JSON, as an integer if the field takes integers.
fn number(x: f64, is_whole: bool) -> Json {
    match whole(x) {
        Some(x) if is_whole => Json::from(x),
        _ => Json::from(x),
    }
}

/// Returns `x` as an integer, if a float represents it exactly.
pub(crate) fn whole(x: f64) -> Option<i64> {
    const EXACT: f64 = 9_007_199_254_740_992.0;
    #[expect(clippy::cast_possible_truncation, reason = "the number is whole and small enough")]
    (x.fract() == 0.0 && x.abs() <= EXACT).then_some(x as i64)
}

/// Returns a value of a configuration as an operand of a constraint; none for null and lists.
pub(crate) fn operand(value: &Json) -> Option<Operand<'_>> {
    match value {
        Json::Number(number) => number.as_f64().map(Operand::Number),
        Json::String(text) => Some(Operand::Text(text)),
        Json::Bool(x) => Some(Operand::Bool(*x)),
        Json::Null | Json::Array(_) | Json::Object(_) => None,
    }
}

/// The multiples of `q` in an interval, by their factors.
#[derive(Debug, Clone, Copy)]
struct MultiplesOfQ {
    first: f64,
    last: f64,
    /// `q` as a fraction of an integer and a power of ten, if possible, so that the third multiple
    /// of 0.1 is 0.3 and not 0.30000000000000004.
    q: (f64, f64),
}

#[expect(clippy::float_cmp, reason = "a value is in a domain if it is exactly one of its values")]
impl MultiplesOfQ {
    fn new(min: f64, max: f64, q: f64) -> Self {
        let (low, high) = (min / q, max / q);
        // A bound that is a multiple of `q` counts even if the division has a rounding error.
        let near = |x: f64| (x - x.round()).abs() <= 1e-9 * x.abs().max(1.0);
        let first = if near(low) { low.round() } else { low.ceil() };
        let last = if near(high) { high.round() } else { high.floor() };
        Self { first, last, q: decimal_fraction(q) }
    }

    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "a conversion of a float saturates, which is what a count needs"
    )]
    fn count(self) -> u64 {
        (self.last - self.first + 1.0).max(0.0) as u64
    }

    fn value(self, row: u64) -> f64 {
        (self.first + row as f64) * self.q.0 / self.q.1
    }

    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "the factor lies between the first and the last"
    )]
    fn nearest(self, x: f64) -> u64 {
        let factor = (x * self.q.1 / self.q.0).round().max(self.first).min(self.last);
        (factor - self.first) as u64
    }

    fn row_of(self, value: f64) -> Option<u64> {
        let row = self.nearest(value);
        (self.count() > 0 && self.value(row) == value).then_some(row)
    }
}

#[expect(clippy::float_cmp, reason = "a fraction that is only near `q` will not do")]
fn decimal_fraction(q: f64) -> (f64, f64) {
    for digits in 0..=15 {
        let scale = 10f64.powi(digits);
        let scaled = (q * scale).round();
        if scaled / scale == q {
            return (scaled, scale);
        }
    }
    (q, 1.0)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn values(domain: &Domain) -> Vec<Json> {
        (0..domain.size().unwrap()).map(|row| domain.value(row)).collect()
    }

    #[test]
    fn finite_domains_number_their_values() {
        let quantized = |min, max, q, whole| Domain::QUniform { min, max, q, whole };
        let cases = [
            (Domain::Constant { value: json!("x") }, json!(["x"])),
            (
                Domain::Categorical { values: vec![json!(1.5), json!(null)], probabilities: None },
                json!([1.5, null]),
            ),
            (Domain::IntUniform { min: -1, max: 2 }, json!([-1, 0, 1, 2])),
            (quantized(0.0, 0.5, 0.1, false), json!([0.0, 0.1, 0.2, 0.3, 0.4, 0.5])),
            (quantized(0.15, 0.5, 0.2, false), json!([0.2, 0.4])),
            (quantized(16.0, 100.0, 32.0, true), json!([32, 64, 96])),
            (quantized(0.0, 1.0, 1.0 / 3.0, false), json!([0.0, 1.0 / 3.0, 2.0 / 3.0, 1.0])),
            (
                Domain::QLogUniformValues { min: 1.0, max: 4.0, q: 1.0, whole: true },
                json!([1, 2, 3, 4]),
            ),
        ];
        for (domain, expected) in cases {
            let values = values(&domain);
            assert_eq!(json!(values), expected, "{domain:?}");
            for (row, value) in values.iter().enumerate() {
                assert_eq!(domain.row_of(value), Some(row as u64), "{domain:?} {value}");
            }
            assert_eq!(domain.row_of(&json!("missing")), None);
        }
        assert_eq!(Domain::IntUniform { min: i64::MIN, max: i64::MAX }.size(), Some(u64::MAX));
        assert_eq!(quantized(0.3, 0.4, 0.25, false).size(), Some(0));
        assert_eq!(Domain::Uniform { min: 0.0, max: 1.0 }.size(), None);
    }

    #[test]
    fn draws_have_the_distribution_of_their_domain() {
        let row = |domain: &Domain, u| domain.quantile(u);
        let weighted = Domain::Categorical {
            values: vec![json!("a"), json!("b"), json!("c")],
            probabilities: Some(vec![0.5, 0.3, 0.2]),
        };
        for (u, expected) in [(0.0, 0), (0.49, 0), (0.51, 1), (0.79, 1), (0.81, 2), (1.0, 2)] {
            assert_eq!(row(&weighted, u), AxisPick::Row(expected), "{u}");
        }
        let whole = Domain::IntUniform { min: 1, max: 4 };
        for (u, expected) in [(1e-9, 0), (0.26, 1), (0.74, 2), (1.0 - 1e-9, 3)] {
            assert_eq!(row(&whole, u), AxisPick::Row(expected), "{u}");
        }
        // Rounded, then clamped: 1.4 becomes 1, and 7.6, whose multiple exceeds the bound, becomes
        // 7.
        let log = Domain::QLogUniformValues { min: 1.0, max: 7.7, q: 1.0, whole: true };
        let share = |x: f64| x.ln() / 7.7f64.ln();
        for (x, expected) in [(1.4, 1), (1.6, 2), (6.4, 6), (7.6, 7)] {
            assert_eq!(row(&log, share(x)), AxisPick::Row(expected - 1), "{x}");
        }
    }

    #[test]
    fn continuous_draws_are_quantiles_within_the_bounds() {
        let cases = [
            (Domain::Uniform { min: 2.0, max: 4.0 }, 3.0),
            (Domain::LogUniformValues { min: 1e-4, max: 1e-2 }, 1e-3),
            (Domain::Normal { mu: 3.0, sigma: 2.0 }, 3.0),
            (Domain::LogNormal { mu: 0.0, sigma: 2.0 }, 1.0),
        ];
        for (domain, median) in cases {
            let AxisPick::Value(found) = domain.quantile(0.5) else {
                panic!("{domain:?} has no values")
            };
            assert!((found - median).abs() < 1e-12, "{domain:?}: {found}");
        }
        let narrow = Domain::LogUniformValues { min: 0.1, max: 0.3 };
        for u in [1e-300, 1.0 - 1e-16] {
            let AxisPick::Value(found) = narrow.quantile(u) else { panic!("no value") };
            assert!((0.1..=0.3).contains(&found), "{found}");
        }
    }
}
