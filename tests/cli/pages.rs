//! Pages of the documentation: docs/cli.md and docs/settings.md are generated from the help texts
//! (`RHEO_BLESS=1` writes them anew), and what the pages tell people to type is run.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use rheo_tests::{ProgramOutput, RunningProgram, TestBench, wait_for};

/// A sweep that ends in a second.
const SMALL: &str = "
name: demo
task: {kind: digits, pool: 2, train_size: 40, validation_size: 20, test_size: 20}
network: {hidden: 4}
training: {epochs: 1, batch: 20}
replicates: 2
";

/// The line of a page after which everything is generated.
const MARK: &str = "<!-- generated from the help texts: `make bless` writes what follows -->\n";

/// Pages whose commands are run from the first to the last.
const RUN: [&str; 2] = ["README.md", "docs/quickstart.md"];

/// Beginnings of commands of `RUN` that a test cannot run, each with the reason.
const NOT_RUN: [(&str, &str); 4] = [
    ("git clone", "the repository is here"),
    ("make ", "builds everything"),
    ("rheo launch slurm", "needs Slurm: tests/slurm"),
    ("rheo launch kubernetes", "needs a cluster: tests/kubernetes"),
];

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap().to_owned()
}

/// Compares the generated part of a page with what was generated now.
fn check_generated(page: &str, generated: &str) {
    let path = root().join(page);
    let written = fs::read_to_string(&path).unwrap();
    let (head, _) = written.split_once(MARK).unwrap();
    let whole = format!("{head}{MARK}{generated}");
    if std::env::var_os("RHEO_BLESS").is_some() {
        fs::write(path, whole).unwrap();
    } else {
        assert!(written == whole, "{page} is out of date: run `make bless`");
    }
}

/// The help text of a command.
fn help(bench: &TestBench, words: &[String]) -> String {
    let mut args: Vec<&str> = words.iter().skip(1).map(String::as_str).collect();
    args.push("--help");
    let is_worker = words[0] == "rheo-worker";
    let mut command = if is_worker { bench.worker(&args) } else { bench.rheo(&args) };
    // Lines are as long here as anywhere.
    command.env_remove("COLUMNS");
    let said = RunningProgram::start(command).end().expect(0);
    said.out.lines().map(str::trim_end).collect::<Vec<_>>().join("\n")
}

/// Every command with its help text, parents before children.
fn commands(bench: &TestBench) -> Vec<(Vec<String>, String)> {
    let mut found = Vec::new();
    for program in ["rheo", "rheo-worker"] {
        collect(bench, &[program.to_owned()], &mut found);
    }
    found
}

fn collect(bench: &TestBench, words: &[String], found: &mut Vec<(Vec<String>, String)>) {
    let text = help(bench, words);
    let listed = text.split("Commands:\n").nth(1).unwrap_or_default();
    let listed = listed.split("\n\n").next().unwrap_or_default().to_owned();
    found.push((words.to_vec(), text));
    let names = listed.lines().filter_map(|line| line.strip_prefix("  "));
    let names =
        names.filter(|line| !line.starts_with(' ')).filter_map(|line| line.split(' ').next());
    for name in names.filter(|name| *name != "help") {
        let inner = [words, &[name.to_owned()]].concat();
        collect(bench, &inner, found);
    }
}

#[test]
fn the_reference_of_commands_equals_the_help_texts() {
    let bench = TestBench::default();
    let mut page = String::new();
    for (words, text) in commands(&bench) {
        let (about, rest) = text.split_once('\n').unwrap();
        let rest = rest.trim();
        write!(page, "\n## `{}`\n\n{about}.\n\n```text\n{rest}\n```\n", words.join(" ")).unwrap();
    }
    check_generated("docs/cli.md", &page);
}

/// An option or argument in a long help text.
struct Described {
    flag: String,
    text: String,
}

/// The options of a long help text.
fn options(text: &str) -> Vec<Described> {
    let mut found: Vec<Described> = Vec::new();
    for line in text.split("Options:\n").nth(1).unwrap_or_default().lines() {
        let begins = line.starts_with("  -") || line.starts_with("      --");
        if begins {
            let words = line.split_whitespace();
            let flag = words.clone().find(|word| word.starts_with("--")).unwrap_or_default();
            let after = line.trim_start().split_once("  ").map_or("", |(_, after)| after.trim());
            found.push(Described { flag: flag.to_owned(), text: after.to_owned() });
        } else if let (true, Some(last)) = (line.starts_with("          "), found.last_mut()) {
            let text = format!("{} {}", last.text, line.trim());
            text.trim().clone_into(&mut last.text);
        }
    }
    found
}

/// The text between `before` and `]`.
fn bracket<'t>(text: &'t str, before: &str) -> Option<&'t str> {
    text.split(before).nth(1)?.split(']').next()
}

#[test]
fn the_reference_of_settings_equals_the_help_texts() {
    let bench = TestBench::default();
    let mut rows: BTreeMap<(String, String, String, String), BTreeSet<String>> = BTreeMap::new();
    for (words, text) in commands(&bench) {
        for option in options(&text) {
            let Some(variable) = bracket(&option.text, "[env: ") else { continue };
            let variable = variable.trim_end_matches('=').trim().to_owned();
            let default = bracket(&option.text, "[default: ").unwrap_or_default().to_owned();
            let meaning = option.text.split(" [").next().unwrap_or_default().replace('|', "\\|");
            let key = (variable, option.flag, meaning, default);
            let command = if words.len() == 1 { &words[0] } else { &words[1..].join(" ") };
            rows.entry(key).or_default().insert(format!("`{command}`"));
        }
    }
    let mut page =
        String::from("\n| variable | flag | of | means | default |\n|---|---|---|---|---|\n");
    for ((variable, flag, meaning, default), commands) in &rows {
        let commands = commands.iter().cloned().collect::<Vec<_>>().join(", ");
        let default = if default.is_empty() { String::new() } else { format!("`{default}`") };
        writeln!(page, "| `{variable}` | `{flag}` | {commands} | {meaning} | {default} |").unwrap();
    }
    check_generated("docs/settings.md", &page);
    // Variables without a flag are described by hand.
    let page = fs::read_to_string(root().join("docs/settings.md")).unwrap();
    let config = bench.run(&["config", "--output", "json"]).expect(0).json();
    let known = config["environment"].as_object().unwrap().keys().cloned();
    let missing: Vec<String> = known.filter(|name| !page.contains(&format!("`{name}`"))).collect();
    assert!(missing.is_empty(), "docs/settings.md lacks {missing:?}");
}

/// Runs a script as a person would, with our programs first on the PATH.
fn shell(bench: &TestBench, script: &str) -> ProgramOutput {
    let rheo = bench.rheo(&[]);
    let programs = Path::new(rheo.get_program()).parent().unwrap().to_owned();
    let mut sh = Command::new("sh");
    sh.args(["-euc", script]).current_dir(bench.path()).stdin(std::process::Stdio::null());
    for (name, value) in rheo.get_envs() {
        match value {
            Some(value) => sh.env(name, value),
            None => sh.env_remove(name),
        };
    }
    let mut path = programs.into_os_string();
    path.push(":");
    path.push(std::env::var_os("PATH").unwrap_or_default());
    sh.env("PATH", path);
    if let Some(packages) = rheo_tests::readers() {
        sh.env("PYTHONPATH", packages);
    }
    sh.env("RHEO_SPOOL", bench.path().join("spool"));
    RunningProgram::start(sh).end()
}

#[test]
fn the_examples_of_help_texts_run() {
    let bench = TestBench::default();
    bench.file("sweep.yaml", SMALL);
    let examples: BTreeMap<String, String> = commands(&bench)
        .into_iter()
        .filter_map(|(words, text)| {
            let example = text.split("Example:\n").nth(1)?.lines().next()?.trim().to_owned();
            Some((words[1..].join(" "), example))
        })
        .collect();
    let order = [
        "schema",
        "config",
        "completions",
        "man",
        "preview",
        "submit",
        "pause",
        "resume",
        "cancel",
        "retry",
        "resume",
        "run",
        "status",
        "trials",
        "best",
        "show",
        "logs",
        "workers",
        "watch",
        "wait",
        "query",
        "importance",
        "verify",
        "analyze",
        "checkpoint export",
        "du",
        "launch slurm",
        "launch kubernetes",
        "delete",
        "launch local",
        "launch list",
        "launch scale",
        "launch drain",
        "launch stop",
        "stop",
    ];
    for words in order {
        let example = &examples[words];
        let dry = ["launch slurm", "launch kubernetes"].contains(&words);
        shell(&bench, &format!("{example}{}", if dry { " --dry-run" } else { "" })).expect(0);
    }
    // A coordinator runs until it is stopped, at a port that is free.
    let port = examples["serve"].replace("127.0.0.1:7070", "127.0.0.1:0");
    let serve = RunningProgram::start(bench.rheo(&port.split(' ').skip(1).collect::<Vec<_>>()));
    wait_for("the coordinator", || bench.url());
    shell(&bench, &examples["stop"]).expect(0);
    serve.end();
    // It downloads.
    shell(&bench, &format!("{} --help", examples["data fetch"])).expect(0);
    let run: BTreeSet<&str> = order.into_iter().chain(["serve", "data fetch", ""]).collect();
    let known: BTreeSet<&str> = examples.keys().map(String::as_str).collect();
    assert_eq!(run, known, "every example is run");
}

/// The pages that people read.
fn pages() -> Vec<PathBuf> {
    let mut pages: Vec<PathBuf> =
        fs::read_dir(root().join("docs")).unwrap().map(|entry| entry.unwrap().path()).collect();
    pages.push(root().join("README.md"));
    pages.push(root().join("CONTRIBUTING.md"));
    pages.retain(|path| path.extension().is_some_and(|ending| ending == "md"));
    pages.sort();
    pages
}

/// The fenced blocks of a page: the word behind the fence, and the text.
fn blocks(page: &str) -> Vec<(&str, &str)> {
    let fenced = page.split("\n```").skip(1).step_by(2);
    fenced.filter_map(|block| block.split_once('\n')).collect()
}

/// The commands of a block, continued lines joined, without what is said about them.
fn typed(block: &str) -> Vec<String> {
    let joined = block.replace("\\\n", " ");
    let lines = joined.lines().map(|line| line.trim().trim_start_matches("$ "));
    let ours = lines.filter(|line| line.starts_with("rheo ") || line.starts_with("rheo-worker "));
    let command = |line: &str| {
        let ends = [" # ", "  ", " | ", " > ", " && ", " / ", "; ", " &"];
        let is_quoted = |at: usize| line[..at].matches(['"', '\'']).count() % 2 == 1;
        let ends = ends.iter().flat_map(|end| line.match_indices(end)).map(|(at, _)| at);
        let end = ends.filter(|at| !is_quoted(*at)).min().unwrap_or(line.len());
        line[..end].to_owned()
    };
    ours.map(command).collect()
}

/// Every command on every page is one that our programs understand.
#[test]
fn the_commands_of_all_pages_are_understood() {
    let bench = TestBench::default();
    let mut seen = 0;
    let mut wrong = Vec::new();
    for path in pages() {
        let page = fs::read_to_string(&path).unwrap();
        for (_, block) in blocks(&page).into_iter().filter(|(word, _)| *word != "text") {
            for command in typed(block) {
                // Words in capitals stand for something.
                let words =
                    [("SWEEP", "demo"), ("TRIAL", "0"), ("FLEET", "local"), ("NAME", "mnist")];
                let command =
                    words.iter().fold(command, |all, (word, real)| all.replace(word, real));
                let said = shell(&bench, &format!("{} --help", command.replace(" -- ", " ")));
                seen += 1;
                if said.code() != 0 {
                    wrong.push(format!("{}: {command}\n{}", path.display(), said.err));
                }
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    assert!(seen > 30, "{seen} commands");
}

/// The lines of a block that a test can run.
fn runnable(block: &str) -> Vec<String> {
    let joined = block.replace("\\\n", " ");
    let lines = joined.lines().filter_map(|line| line.split(" # ").next().map(str::trim));
    let runs = |line: &&str| {
        let is_skipped = NOT_RUN.iter().any(|(begin, _)| line.starts_with(begin));
        let lacks_readers = line.starts_with("python3") && rheo_tests::readers().is_none();
        !(line.is_empty() || is_skipped || lacks_readers)
    };
    lines.filter(runs).map(str::to_owned).collect()
}

/// The README and the first steps are followed from the first to the last command.
#[test]
fn what_the_first_pages_tell_to_type_works() {
    for name in RUN {
        let page = fs::read_to_string(root().join(name)).unwrap();
        let bench = TestBench::default();
        fs::create_dir(bench.path().join("docs")).unwrap();
        fs::copy(root().join("docs/accuracy.py"), bench.path().join("docs/accuracy.py")).unwrap();
        let mut ran = 0;
        for (word, block) in blocks(&page) {
            if word == "yaml" {
                // The same in a fraction of the time.
                let short = block.replace("epochs: 8", "epochs: 1").replace("1500", "100");
                bench.file("sweep.yaml", &short);
            }
            for command in runnable(block).into_iter().filter(|_| word == "sh") {
                shell(&bench, &command).expect(0);
                ran += 1;
            }
        }
        assert!(ran >= 4, "{name}: {ran} commands");
    }
}

/// Every sweep that a page names or shows is right.
#[test]
fn the_sweeps_of_all_pages_are_previewed() {
    let bench = TestBench::default();
    let mut named = BTreeSet::new();
    for path in pages() {
        let page = fs::read_to_string(&path).unwrap();
        for (word, block) in blocks(&page) {
            if word == "yaml" && block.lines().any(|line| line.starts_with("name: ")) {
                bench.run(&["preview", bench.file("shown.yaml", block)]).expect(0);
            }
        }
        let is_name = |letter: char| letter.is_ascii_alphanumeric() || "/_.-".contains(letter);
        let words = page.split(|letter| !is_name(letter));
        let sweeps = words.filter_map(|word| word.find("sweeps/").map(|at| word[at..].to_owned()));
        let is_sweep = |word: &String| Path::new(word).extension().is_some_and(|end| end == "yaml");
        named.extend(sweeps.filter(is_sweep));
    }
    assert!(named.len() > 20, "{named:?}");
    for name in named {
        let file = root().join(&name).display().to_string();
        bench.run(&["preview", &file, "--trials", "1"]).expect(0);
    }
}
