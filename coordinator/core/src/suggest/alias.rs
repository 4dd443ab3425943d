//! Words of other tools for names in sweep files. The keys of parameters are here; fields and
//! metrics are in the schema of a workload.

/// Words of other tools, normalised by [`plain`], each with the path or name that it stands for.
pub type Aliases = &'static [(&'static [&'static str], &'static str)];

const KEYS: Aliases = &[
    (&["choices", "options", "choice", "grid"], "values"),
    (&["low", "lower", "lowerbound", "minimum", "from"], "min"),
    (&["high", "upper", "upperbound", "maximum", "to"], "max"),
    (&["dist", "type", "prior", "scale"], "distribution"),
    (&["step", "stepsize", "quantum"], "q"),
    (&["mean", "loc"], "mu"),
    (&["std", "stddev", "stdev"], "sigma"),
    (&["weights", "probs", "p"], "probabilities"),
];

/// Returns the path or name that a word of another tool stands for.
pub(crate) fn path(aliases: Aliases, word: &str) -> Option<&'static str> {
    all(aliases, word).next()
}

/// Returns everything that a word of another tool may stand for, such as a field and a value.
pub(super) fn all(aliases: Aliases, word: &str) -> impl Iterator<Item = &'static str> {
    let word = plain(word);
    let all = aliases.iter().chain(KEYS);
    all.filter(move |(words, _)| words.contains(&word.as_str())).map(|(_, meant)| *meant)
}

/// Normalises a word: `learning_rate`, `learningRate` and `learning-rate` are the same.
fn plain(word: &str) -> String {
    word.chars().filter(char::is_ascii_alphanumeric).collect::<String>().to_lowercase()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_alias_leads_to_a_key_of_parameters() {
        for (_, meant) in KEYS {
            assert!(crate::spec::domain::KEYS.contains(meant), "{meant}");
        }
    }
}
