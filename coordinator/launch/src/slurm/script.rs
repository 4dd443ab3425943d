//! The job script of a pilot: the template that users can also submit by hand, with the settings of
//! the pilot inserted between its marks.

use super::{SlurmSettings, name};
use crate::PilotSubmission;

/// The template.
const TEMPLATE: &str = include_str!("../../../../deploy/slurm/rheo-worker.sbatch");

/// The mark in the template where the setup begins.
const SETUP_MARK: &str = "# >>> setup\n";

/// The arguments of `sbatch` for a pilot. The user's options come last and take precedence.
pub(super) fn options(settings: &SlurmSettings, submission: &PilotSubmission) -> Vec<String> {
    let mut options = vec![
        format!("--job-name={}", name::job_name(&submission.tag)),
        format!("--output={}", log(settings, &submission.tag)),
        format!("--chdir={}", settings.state.display()),
        format!("--nodes={}", settings.nodes.max(1)),
        "--ntasks-per-node=1".to_owned(),
        format!("--cpus-per-task={}", settings.cpus.max(1)),
    ];
    let valued = [
        ("time", &settings.time),
        ("partition", &settings.partition),
        ("account", &settings.account),
    ];
    let valued = valued.iter().filter_map(|(flag, value)| Some((flag, value.as_ref()?)));
    options.extend(valued.map(|(flag, value)| format!("--{flag}={value}")));
    if settings.gpus > 0 {
        options.push(format!("--gpus-per-node={}", settings.gpus));
    }
    options.extend(settings.options.iter().cloned());
    if !submission.exclude.is_empty() {
        options.push(format!("--exclude={}", excluded(settings, submission)));
    }
    options
}

/// The nodes on which a pilot must not run: those that the user excludes, and those of unfit pilots.
/// Joined, because `sbatch` uses only the last of several `--exclude` options.
fn excluded(settings: &SlurmSettings, submission: &PilotSubmission) -> String {
    let mut nodes = Vec::new();
    let mut options = settings.options.iter();
    while let Some(option) = options.next() {
        let value = ["--exclude=", "-x"].iter().find_map(|flag| option.strip_prefix(flag));
        match value {
            Some("") => nodes.extend(options.next().cloned()),
            Some(list) => nodes.push(list.to_owned()),
            None if option == "--exclude" => nodes.extend(options.next().cloned()),
            None => {}
        }
    }
    nodes.extend(submission.exclude.iter().cloned());
    nodes.join(",")
}

/// The log file of a pilot.
pub(super) fn log(settings: &SlurmSettings, tag: &str) -> String {
    format!("{}/{tag}.log", settings.logs.display())
}

/// Renders the script of a pilot.
pub(super) fn render(settings: &SlurmSettings, submission: &PilotSubmission) -> String {
    let mut setup = String::from(SETUP_MARK);
    let mut export = |name: &str, value: &str| {
        setup.push_str(&format!("export {name}={}\n", quote(value)));
    };
    export("RHEO_PILOT", &submission.pilot.to_string());
    export("RHEO_STATE", &settings.state.to_string_lossy());
    export("RHEO_WORKER", &settings.worker.to_string_lossy());
    if settings.gpus > 0 {
        // One GPU for each worker, which reports it if it sees none.
        export("RHEO_GPU_COUNT", "1");
    }
    for (name, value) in &settings.environment {
        export(name, value);
    }
    if !settings.setup.trim().is_empty() {
        setup.push_str(settings.setup.trim_end());
        setup.push('\n');
    }
    TEMPLATE.replacen(SETUP_MARK, &setup, 1)
}

/// Quotes a word for a shell.
pub(super) fn quote(word: &str) -> String {
    let plain = |c: char| c.is_ascii_alphanumeric() || "-_=./:,@%+".contains(c);
    if !word.is_empty() && word.chars().all(plain) {
        return word.to_owned();
    }
    format!("'{}'", word.replace('\'', r"'\''"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn submission() -> PilotSubmission {
        let (pilot, tag) = ("slurm/3".parse().unwrap(), "rheo-slurm-0123456789-3".to_owned());
        PilotSubmission { pilot, tag, exclude: Vec::new() }
    }

    #[test]
    fn excluded_nodes_are_added_to_those_of_the_user() {
        let submission =
            PilotSubmission { exclude: vec!["n7".to_owned(), "n8".to_owned()], ..submission() };
        for (given, expected) in [
            (&[][..], "--exclude=n7,n8"),
            (&["--exclude=n[1-2]"], "--exclude=n[1-2],n7,n8"),
            (&["-x", "n3"], "--exclude=n3,n7,n8"),
            (&["-xn3"], "--exclude=n3,n7,n8"),
            (&["--exclude", "n3"], "--exclude=n3,n7,n8"),
        ] {
            let options = given.iter().map(|option| (*option).to_owned()).collect();
            let settings = SlurmSettings { options, ..SlurmSettings::default() };
            assert_eq!(super::options(&settings, &submission).last().unwrap(), expected);
        }
    }

    #[test]
    fn a_script_has_all_settings_and_user_options_come_last() {
        let settings = SlurmSettings {
            state: "/shared/it's here/.rheo".into(),
            logs: "/logs".into(),
            worker: "/opt/rheo-worker".into(),
            time: Some("4:00:00".to_owned()),
            cpus: 4,
            partition: Some("main".to_owned()),
            options: vec!["--partition=other".to_owned(), "--mem=2G".to_owned()],
            setup: "module load cuda".to_owned(),
            ..SlurmSettings::default()
        };
        let script = render(&settings, &submission());
        assert!(script.starts_with("#!/bin/bash\n#SBATCH "), "{script}");
        let setup = script.split(SETUP_MARK).nth(1).unwrap();
        assert!(
            setup.starts_with(
                "export RHEO_PILOT=slurm/3\nexport RHEO_STATE='/shared/it'\\''s here/.rheo'\nexport RHEO_WORKER=/opt/rheo-worker\nmodule load cuda\n# <<< setup\n"
            ),
            "{setup}"
        );
        let options = options(&settings, &submission());
        assert_eq!(options.last().unwrap(), "--mem=2G");
        let at = |wanted: &str| options.iter().position(|option| option == wanted).unwrap();
        assert!(at("--partition=main") < at("--partition=other"));
        assert!(options.contains(&"--time=4:00:00".to_owned()));
    }
}
