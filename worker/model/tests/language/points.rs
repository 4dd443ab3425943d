//! Every file of `tests/sweeps` is valid; a snapshot beside it shows its definition and its trials.

use std::fmt::Write as _;
use std::fs;

use insta::{Settings, assert_snapshot};
use proptest::prelude::*;
use rheo_core::plan::Plan;
use rheo_core::spec::{self, ParsedSweep, Severity};
use rheo_model::networks;

use crate::schema;

use crate::mistakes::{files, name};

/// Returns the definition and the trials of a file as text.
fn describe(ParsedSweep { definition, warnings, .. }: &ParsedSweep, text: &str) -> String {
    let plan = Plan::new(definition, &schema());
    let mut out = format!("{definition}\n{}", spec::render("sweep.yaml", text, warnings));
    let (trials, end) = (plan.trials(), plan.end_reason());
    let _ =
        writeln!(out, "{trials} trials, then {end:?}; records points: {}", plan.records_points());
    let seeds = definition.seeds.len() as u64;
    let mut history = plan.history();
    for point in 0..trials.div_ceil(seeds).min(12) {
        let suggestion = plan.suggest(&history, point).unwrap();
        history.record_suggestion(&suggestion);
        let _ = writeln!(out, "{point}: {}", suggestion.point);
        if point == 0 {
            let trial = plan.trial(seeds - 1, &suggestion).unwrap();
            let _ = writeln!(out, "{:#}", trial.resolved);
        }
    }
    out
}

#[test]
fn files_match_their_snapshots() {
    let mut settings = Settings::clone_current();
    settings.set_snapshot_path("../sweeps");
    settings.set_prepend_module_to_snapshot(false);
    settings.set_omit_expression(true);
    settings.bind(|| {
        for path in files("sweeps") {
            let text = fs::read_to_string(&path).unwrap();
            let parsed = spec::parse(&networks::workloads(), "sweep.yaml", &text)
                .unwrap_or_else(|m| panic!("{}", m.render()));
            assert_snapshot!(name(&path), describe(&parsed, &text));
        }
    });
}

/// An accidental change of a text by people or editors.
#[derive(Debug, Clone)]
enum TextSlip {
    Delete { at: usize, length: usize },
    RepeatLine { line: usize },
    SwapLines { one: usize, other: usize },
    Insert { at: usize, text: String },
}

fn slips() -> impl Strategy<Value = TextSlip> {
    let odd = "[\\[\\]{}:,'\"&*!|>%@#\\-?\\t\\n 0-9a-zä.~<]{1,3}";
    prop_oneof![
        (any::<usize>(), 1..12usize).prop_map(|(at, length)| TextSlip::Delete { at, length }),
        any::<usize>().prop_map(|line| TextSlip::RepeatLine { line }),
        any::<(usize, usize)>().prop_map(|(one, other)| TextSlip::SwapLines { one, other }),
        (any::<usize>(), odd).prop_map(|(at, text)| TextSlip::Insert { at, text }),
    ]
}

fn apply(text: &str, slip: &TextSlip) -> String {
    let mut lines: Vec<&str> = text.lines().collect();
    let mut characters: Vec<char> = text.chars().collect();
    if lines.is_empty() || characters.is_empty() {
        return text.to_owned();
    }
    match slip {
        TextSlip::Delete { at, length } => {
            let start = at % characters.len();
            characters.drain(start..(start + length).min(characters.len()));
            characters.into_iter().collect()
        }
        TextSlip::Insert { at, text } => {
            let start = at % characters.len();
            characters.splice(start..start, text.chars());
            characters.into_iter().collect()
        }
        TextSlip::RepeatLine { line } => {
            let line = line % lines.len();
            lines.insert(line, lines[line]);
            lines.join("\n")
        }
        TextSlip::SwapLines { one, other } => {
            let (one, other) = (one % lines.len(), other % lines.len());
            lines.swap(one, other);
            lines.join("\n")
        }
    }
}

/// Checks that a text is valid or has an error, and that every message has a position in it.
fn check(text: &str) -> Result<(), TestCaseError> {
    let mistakes = match spec::parse(&networks::workloads(), "sweep.yaml", text) {
        Ok(parsed) => parsed.warnings,
        Err(mistakes) => {
            let is_error = |mistake: &spec::Mistake| mistake.severity == Severity::Error;
            prop_assert!(mistakes.list().iter().any(is_error), "an error without a mistake");
            prop_assert!(!mistakes.render().is_empty());
            mistakes.list().to_vec()
        }
    };
    for mistake in &mistakes {
        let end = mistake.span.offset + mistake.span.length;
        prop_assert!(text.get(mistake.span.offset..end).is_some(), "{:?}", mistake);
        prop_assert!(mistake.line >= 1 && mistake.column >= 1, "{:?}", mistake);
    }
    prop_assert!(mistakes.is_sorted_by_key(|mistake| mistake.span));
    Ok(())
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(256))]

    #[test]
    fn accidental_changes_never_panic(
        file in any::<prop::sample::Index>(),
        slips in prop::collection::vec(slips(), 1..4),
    ) {
        let files = [files("sweeps"), files("mistakes")].concat();
        let mut text = fs::read_to_string(file.get(&files)).unwrap();
        for slip in &slips {
            text = apply(&text, slip);
        }
        check(&text)?;
    }

    #[test]
    fn any_text_is_valid_or_has_an_error(text in "\\PC{0,200}") {
        check(&text)?;
        check(&format!("name: demo\nconstraints: [{text:?}]\nparameters: {{{text}}}"))?;
    }
}
