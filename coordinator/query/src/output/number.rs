//! Number formatting for people, with a few significant digits. JSON, CSV and the binary formats keep
//! all digits.

/// Formats a chosen value: up to six significant digits, without trailing zeros.
pub fn short(number: f64) -> String {
    let text = rounded(number, 6);
    let (digits, exponent) = match text.split_once('e') {
        Some((digits, exponent)) => (digits, format!("e{exponent}")),
        None => (text.as_str(), String::new()),
    };
    let digits = if digits.contains('.') {
        digits.trim_end_matches('0').trim_end_matches('.')
    } else {
        digits
    };
    format!("{digits}{exponent}")
}

/// Formats a measured value: exactly `digits` significant digits. Large and tiny numbers have an
/// exponent; digits before the point are never dropped.
pub fn rounded(number: f64, digits: u8) -> String {
    if number == 0.0 || !number.is_finite() {
        return number.to_string();
    }
    let (size, more) = (number.abs(), usize::from(digits.max(1) - 1));
    if !(1e-4..1e15).contains(&size) {
        return format!("{number:.more$e}");
    }
    let decimals = (more as f64 - size.log10().floor()).max(0.0);
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "at most 260")]
    let decimals = decimals as usize;
    format!("{number:.decimals$}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rounded_numbers_have_a_fixed_number_of_digits() {
        for (number, text) in [
            (0.0, "0"),
            (0.5, "0.5000"),
            (0.812_34, "0.8123"),
            (12.3456, "12.35"),
            (1234.56, "1235"),
            (99_999.9, "100000"),
            (0.000_123_45, "0.0001234"),
            (1e-9, "1.000e-9"),
            (-3.2e19, "-3.200e19"),
            (f64::NAN, "NaN"),
        ] {
            assert_eq!(rounded(number, 4), text, "{number}");
        }
    }

    #[test]
    fn short_numbers_have_up_to_six_significant_digits() {
        for (number, text) in [
            (0.0, "0"),
            (1.0, "1"),
            (-2.5, "-2.5"),
            (0.1 + 0.2, "0.3"),
            (0.912_345_678, "0.912346"),
            (12.345_678_9, "12.3457"),
            (0.001, "0.001"),
            (0.000_123_456_789, "0.000123457"),
            (1e-5, "1e-5"),
            (1.234_567_89e-7, "1.23457e-7"),
            (1_234_567.89, "1234568"),
            (1e15, "1e15"),
            (-9.999_999e20, "-1e21"),
            (f64::NAN, "NaN"),
            (f64::NEG_INFINITY, "-inf"),
        ] {
            assert_eq!(short(number), text);
        }
    }
}
