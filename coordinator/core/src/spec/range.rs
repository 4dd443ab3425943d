//! Numeric ranges and distributions: checks that bounds are sensible, fit the field, and give
//! values that it accepts.

use super::domain::DeclarationReader;
use super::field_reader::describe;
use super::mistake::Span;
use super::scalar::number;
use super::tree::YamlValue;
use crate::schema::field::{FieldType, NumberRange};
use crate::space::{Domain, whole};

impl DeclarationReader<'_, '_, '_> {
    pub(super) fn numeric(&mut self, distribution: &'static str) -> Option<Domain> {
        if matches!(distribution, "normal" | "log_normal") {
            return if self.suits_field(distribution) { self.normal(distribution) } else { None };
        }
        if distribution == "int_uniform" {
            return if self.suits_field(distribution) { self.whole_range() } else { None };
        }
        let (min, max) = (self.bound("min"), self.bound("max"));
        let (mut min, mut max) = (min?, max?);
        if !self.suits_field(distribution) {
            return None;
        }
        self.check_order(min, max)?;
        let written = Bounds { min, max };
        if distribution == "log_uniform" {
            (min, max) = (min.exp(), max.exp());
            if !max.is_finite() || min == 0.0 {
                let message =
                    "the bounds of `log_uniform` are exponents of e, and these are too large";
                self.error(self.entry.span, message, "write `log_uniform_values`");
                return None;
            }
        } else if distribution.contains("log") && min <= 0.0 {
            let span = self.span("min");
            self.error(
                span,
                "the logarithm needs a positive `min`",
                "write a small positive number",
            );
            return None;
        }
        self.check_range(min, max, distribution)?;
        if distribution == "log_uniform" && self.look_like_values(written) {
            self.warn_of_exponents(written, Bounds { min, max });
        }
        let is_whole = matches!(self.field.ty, FieldType::Integer { .. });
        match distribution {
            "uniform" => Some(Domain::Uniform { min, max }),
            "log_uniform" | "log_uniform_values" => Some(Domain::LogUniformValues { min, max }),
            _ => self.quantized(distribution, Bounds { min, max }, is_whole),
        }
    }

    /// Checks that the field accepts the values of the distribution.
    fn suits_field(&mut self, distribution: &str) -> bool {
        let span = self.get("distribution").map_or(self.entry.span, |entry| entry.node.span);
        let path = self.path;
        match &self.field.ty {
            FieldType::Number(_) => true,
            FieldType::Integer { .. } => {
                let instead = match distribution {
                    "int_uniform" | "q_uniform" | "q_log_uniform_values" => return true,
                    "log_uniform" | "log_uniform_values" | "log_normal" => "q_log_uniform_values",
                    _ => "int_uniform",
                };
                let message =
                    format!("`{path}` is a whole number, but `{distribution}` gives fractions");
                let help = match self.get("distribution") {
                    Some(_) => format!("write `distribution: {instead}`"),
                    None => "write whole numbers for `min` and `max`".to_owned(),
                };
                self.error(span, message, help);
                false
            }
            ty => {
                let message = format!("`{path}` must be {ty}, but `{distribution}` gives numbers");
                self.error(span, message, "write `values: [...]`");
                false
            }
        }
    }

    fn span(&self, key: &str) -> Span {
        self.get(key).map_or(self.entry.span, |entry| entry.node.span)
    }

    /// Reads a number of the declaration; does not report a missing one.
    fn bound(&mut self, key: &str) -> Option<f64> {
        let node = &self.get(key)?.node;
        let bound = number(&node.value);
        if bound.is_none() {
            let found = describe(&node.value, self.reader.report.snippet(node.span));
            let help = match &node.value {
                YamlValue::Text(text) if text.parse::<f64>().is_ok() => "delete the quotes",
                _ => "write a finite number",
            };
            self.error(node.span, format!("`{key}` must be a number, not {found}"), help);
        }
        bound
    }

    fn check_order(&mut self, min: f64, max: f64) -> Option<()> {
        if min < max {
            return Some(());
        }
        let span = self.span("max");
        let help =
            if min > max { "swap `min` and `max`" } else { "write `value` for a single one" };
        self.error(span, format!("the range from {min} to {max} is empty"), help);
        None
    }

    /// Whether the field accepts a number.
    fn fits(&self, x: f64) -> bool {
        match &self.field.ty {
            FieldType::Number(range) => range.contains(x),
            FieldType::Integer { min, max } => x >= *min as f64 && x <= *max as f64,
            _ => false,
        }
    }

    /// Whether bounds that mean exponents were probably written as values.
    fn look_like_values(&self, bounds: Bounds) -> bool {
        bounds.min > 0.0 && self.fits(bounds.min) && self.fits(bounds.max)
    }

    fn warn_of_exponents(&mut self, written: Bounds, values: Bounds) {
        let (path, low, high) = (self.path, rounded(values.min), rounded(values.max));
        let message = format!(
            "`{path}` takes values from {low} to {high}: the bounds of `log_uniform` are exponents of e"
        );
        let help = format!(
            "write `distribution: log_uniform_values` for values from {} to {}",
            written.min, written.max
        );
        self.reader.report.warn(self.entry.span, message).about(path).help(help);
    }

    /// Checks that both bounds are in the range of the field.
    fn check_range(&mut self, min: f64, max: f64, distribution: &str) -> Option<()> {
        let ty = &self.field.ty;
        let mut all_fit = Some(());
        for (key, bound) in [("min", min), ("max", max)] {
            if !self.fits(bound) {
                let mut message = format!("`{}` must be {ty}, not `{bound}`", self.path);
                let mut help = format!("change `{key}`");
                if distribution == "log_uniform" {
                    message += " (the bounds of `log_uniform` are exponents of e)";
                    help += ", or write `log_uniform_values`, whose bounds are values";
                }
                self.error(self.span(key), message, help);
                all_fit = None;
            }
        }
        all_fit
    }

    fn whole_range(&mut self) -> Option<Domain> {
        let (min, max) = (self.whole_bound("min"), self.whole_bound("max"));
        let (min, max) = (min?, max?);
        if min != max {
            self.check_order(min as f64, max as f64)?;
        }
        self.check_range(min as f64, max as f64, "int_uniform")?;
        let is_inferred = self.get("distribution").is_none();
        if is_inferred && matches!(self.field.ty, FieldType::Number(_)) {
            let message = format!("`{}` takes the whole numbers from {min} to {max}", self.path);
            self.reader
                .report
                .warn(self.entry.span, message)
                .about(self.path)
                .help("two whole bounds mean `int_uniform`: write `distribution: uniform` for all");
        }
        Some(Domain::IntUniform { min, max })
    }

    fn whole_bound(&mut self, key: &str) -> Option<i64> {
        let node = &self.get(key)?.node;
        let bound = match &node.value {
            YamlValue::Integer(x) => i64::try_from(*x).ok(),
            YamlValue::Number(x) => whole(*x),
            _ => None,
        };
        if bound.is_none() {
            let found = describe(&node.value, self.reader.report.snippet(node.span));
            let message = format!("`{key}` of `int_uniform` must be a whole number, not {found}");
            let help = match &node.value {
                YamlValue::Integer(_) => format!("at most {} in size", i64::MAX),
                _ => "write a whole number".to_owned(),
            };
            self.error(node.span, message, help);
        }
        bound
    }

    fn quantized(
        &mut self,
        distribution: &str,
        Bounds { min, max }: Bounds,
        whole_field: bool,
    ) -> Option<Domain> {
        let q = if self.get("q").is_some() { self.bound("q")? } else { 1.0 };
        let span = self.span("q");
        if q <= 0.0 {
            self.error(span, format!("the step `q` must be positive, not {q}"), "write `q: 1`");
            return None;
        }
        if whole_field && whole(q).is_none() {
            let message =
                format!("`{}` is a whole number, but multiples of {q} are not", self.path);
            self.error(span, message, "write a whole `q`");
            return None;
        }
        // Beyond this, floating-point numbers cannot tell multiples of `q` apart.
        if min.abs().max(max.abs()) / q > 1e15 {
            self.error(span, "the step `q` is too small for the range", "write a larger `q`");
            return None;
        }
        let domain = match distribution {
            "q_uniform" => Domain::QUniform { min, max, q, whole: whole_field },
            _ => Domain::QLogUniformValues { min, max, q, whole: whole_field },
        };
        if domain.size() == Some(0) {
            let message = format!("no multiple of {q} lies between {min} and {max}");
            self.error(span, message, "write a smaller `q` or a wider range");
            return None;
        }
        Some(domain)
    }

    fn normal(&mut self, distribution: &'static str) -> Option<Domain> {
        let mu = if self.get("mu").is_some() { self.bound("mu") } else { Some(0.0) };
        let sigma = if self.get("sigma").is_some() { self.bound("sigma") } else { Some(1.0) };
        let (mu, sigma) = (mu?, sigma?);
        if sigma <= 0.0 {
            let span = self.span("sigma");
            self.error(span, "`sigma` must be positive", "write `value` for a single value");
            return None;
        }
        let FieldType::Number(range) = &self.field.ty else { return None };
        let is_log = distribution == "log_normal";
        if !has_room(range, is_log) {
            let ends = if is_log { "every positive number" } else { "every number" };
            let message = format!(
                "`{}` must be {}, but `{distribution}` gives {ends}",
                self.path, self.field.ty
            );
            let help = match range.max.or(range.below) {
                None => "write `distribution: log_normal`",
                Some(_) => "write `distribution: uniform` with `min` and `max`",
            };
            self.error(self.span("distribution"), message, help);
            return None;
        }
        Some(if is_log { Domain::LogNormal { mu, sigma } } else { Domain::Normal { mu, sigma } })
    }
}

/// Whether a range contains every number, or every positive one.
fn has_room(range: &NumberRange, only_positive: bool) -> bool {
    let below = range.min.or(range.above);
    let has_low_end = if only_positive { below.is_some_and(|x| x > 0.0) } else { below.is_some() };
    !has_low_end && range.max.is_none() && range.below.is_none()
}

/// The bounds of a range.
#[derive(Clone, Copy)]
struct Bounds {
    min: f64,
    max: f64,
}

/// Rounds to five significant digits.
fn rounded(x: f64) -> f64 {
    format!("{x:.4e}").parse().unwrap_or(x)
}
