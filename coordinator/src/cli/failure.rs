//! Failures of commands: the message and the exit code of each.

use std::io::{self, Write as _};
use std::path::Path;
use std::process::ExitCode;

use miette::{GraphicalReportHandler, GraphicalTheme};
use rheo_core::excerpt::{MESSAGE, message};
use rheo_core::spec::Mistakes;
use rheo_proto::refusal::{Reason, Refusal};
use rheo_store::owner;

use super::format::StdoutError;
use super::{hint, screen};
use crate::app;
use crate::client;
use crate::query_reply;
use crate::report::lines;
use crate::tls;

/// The reason for which a command did not succeed.
#[derive(Debug)]
pub(super) enum Failure {
    /// Invalid sweep file.
    Mistakes(Box<Mistakes>),
    /// Invalid arguments, an unusable file, or denied access.
    Usage(anyhow::Error),
    /// No coordinator answers.
    Unreachable(anyhow::Error),
    /// A failed sweep, which was already reported.
    SweepFailed,
    /// Interrupted by a person.
    Interrupted,
    /// Another program printed the error; the value is whether it was a usage error.
    Reported(bool),
    /// Any other error.
    Other(anyhow::Error),
}

impl Failure {
    pub(super) fn usage(text: impl Into<String>) -> Self {
        Self::Usage(anyhow::Error::msg(text.into()))
    }

    /// Adds the path to an error of the system, which does not name it. There is no conversion from
    /// `io::Error`, because the path would be missing.
    pub(super) fn unusable(path: &Path, error: io::Error) -> Self {
        let text = format!("`{}` cannot be used", path.display());
        Self::Usage(anyhow::Error::new(error).context(text))
    }

    /// Describes an error of the system that concerns no path.
    pub(super) fn system(what: &'static str, error: io::Error) -> Self {
        Self::Other(anyhow::Error::new(error).context(what))
    }

    /// Returns the error, so that a caller can add context.
    pub(super) fn into_error(self) -> anyhow::Error {
        match self {
            Self::Usage(error) | Self::Unreachable(error) | Self::Other(error) => error,
            Self::Mistakes(mistakes) => anyhow::Error::new(*mistakes),
            Self::SweepFailed | Self::Interrupted | Self::Reported(_) => {
                anyhow::anyhow!("it ended early")
            }
        }
    }

    /// Prints the error and returns the exit code.
    pub(super) fn report(self) -> ExitCode {
        let (code, error) = match self {
            Self::Mistakes(mistakes) => {
                write_stderr(&render(&mistakes));
                return ExitCode::from(2);
            }
            Self::SweepFailed => return ExitCode::from(1),
            Self::Interrupted => return ExitCode::from(130),
            Self::Reported(is_usage) => return ExitCode::from(1 + u8::from(is_usage)),
            // The reader of standard output has closed it.
            Self::Other(error) if is_broken_pipe(&error) => return ExitCode::SUCCESS,
            Self::Other(error) => (1, error),
            Self::Usage(error) => (2, error),
            Self::Unreachable(error) => (3, error),
        };
        let text = lines(error.as_ref());
        write_stderr(&format!("error: {}\n", message(&hint::complete_commands(&text), MESSAGE)));
        ExitCode::from(code)
    }
}

/// Writes to standard error; errors are ignored, because nobody could see them.
fn write_stderr(text: &str) {
    let _ = io::stderr().write_all(text.as_bytes());
}

/// Prints an error of the arguments, or the text of `--help`, and returns the exit code.
pub(super) fn report_usage(error: &clap::Error) -> ExitCode {
    let text = error.render().to_string();
    if error.use_stderr() && text.len() > MESSAGE {
        write_stderr(&format!("{}\n", message(&text, MESSAGE)));
    } else {
        // The reader may have closed the stream.
        let _ = error.print();
    }
    u8::try_from(error.exit_code()).map_or(ExitCode::FAILURE, ExitCode::from)
}

/// Whether the reader of standard output has closed it.
fn is_broken_pipe(error: &anyhow::Error) -> bool {
    let is_it = |error: &io::Error| error.kind() == io::ErrorKind::BrokenPipe;
    let mut causes = error.chain().filter_map(|cause| cause.downcast_ref::<io::Error>());
    // Writers of Arrow and Parquet lose the kind of the error; only its text is left.
    let is_answer = error.downcast_ref::<rheo_query::output::Error>().is_some();
    causes.any(is_it) || is_answer && lines(error.as_ref()).contains("Broken pipe (os error")
}

/// Formats all mistakes with their source lines, in colour on a terminal.
fn render(mistakes: &Mistakes) -> String {
    // The graphical reporter does not shorten long lines.
    if !screen::has_colours(&io::stderr()) || mistakes.has_long_lines() {
        return mistakes.render();
    }
    let mut text = String::new();
    let handler = GraphicalReportHandler::new_themed(GraphicalTheme::unicode()).with_width(100);
    match handler.render_report(&mut text, mistakes) {
        Ok(()) => text,
        Err(_) => mistakes.render(),
    }
}

impl From<Mistakes> for Failure {
    fn from(mistakes: Mistakes) -> Self {
        Self::Mistakes(Box::new(mistakes))
    }
}

impl From<client::Error> for Failure {
    fn from(error: client::Error) -> Self {
        match &error {
            client::Error::Nowhere(_) | client::Error::Unreachable { .. } => {
                Self::Unreachable(error.into())
            }
            client::Error::State(app::Error::Journal {
                source: rheo_store::Error::Locked { .. },
                ..
            }) => Self::Unreachable(error.into()),
            client::Error::State(state) if client::is_forbidden(state) => Self::Usage(error.into()),
            client::Error::Refused(refusal) if refusal.is_access() => Self::Usage(error.into()),
            // A failing disk is not a usage error.
            client::Error::State(app::Error::Owner(owner::Error::Io { source, .. })) => {
                if is_wrong_path(source) {
                    Self::Usage(error.into())
                } else {
                    Self::Other(error.into())
                }
            }
            client::Error::State(app::Error::Journal {
                source: rheo_store::Error::Io(source),
                ..
            }) if is_wrong_path(source) => Self::Usage(error.into()),
            client::Error::State(
                app::Error::Storage(_)
                | app::Error::Directory { .. }
                | app::Error::Owner(_)
                | app::Error::JournalLost { .. },
            ) => Self::Usage(error.into()),
            client::Error::Refused(refusal) => match &refusal.reason {
                Some(
                    Reason::UnknownSweep
                    | Reason::UnknownFleet
                    | Reason::UnknownTrial
                    | Reason::SweepEnded
                    | Reason::SweepBusy
                    | Reason::NotRetryable
                    | Reason::InvalidQuery
                    | Reason::QueryLimit
                    | Reason::QueryFailed
                    | Reason::InvalidArgument,
                ) => Self::Usage(error.into()),
                Some(Reason::SweepDiffers) => Self::usage(sweep_differs(refusal)),
                Some(Reason::Stopping | Reason::QueriesBusy) => Self::Unreachable(error.into()),
                None if refusal.transient => Self::Unreachable(error.into()),
                _ => Self::Other(error.into()),
            },
            _ => Self::Other(error.into()),
        }
    }
}

/// Whether the error means that a path names the wrong kind of file.
fn is_wrong_path(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        io::ErrorKind::NotADirectory | io::ErrorKind::IsADirectory | io::ErrorKind::AlreadyExists
    )
}

fn sweep_differs(refusal: &Refusal) -> String {
    let diff = refusal.detail.as_deref().unwrap_or_default();
    let lines: String = diff.lines().map(|line| format!("\n  {line}")).collect();
    format!("{}:{lines}\nhelp: give this sweep another `name`", refusal.text)
}

impl From<query_reply::Error> for Failure {
    fn from(error: query_reply::Error) -> Self {
        match error {
            query_reply::Error::Client(error) => error.into(),
            query_reply::Error::Output(error) => Self::Other(error.into()),
            query_reply::Error::Rows(error) => Self::Other(error.into()),
        }
    }
}

impl From<app::Error> for Failure {
    fn from(error: app::Error) -> Self {
        client::Error::State(error).into()
    }
}

impl From<tls::Error> for Failure {
    fn from(error: tls::Error) -> Self {
        Self::Usage(error.into())
    }
}

impl From<anyhow::Error> for Failure {
    fn from(error: anyhow::Error) -> Self {
        Self::Other(error)
    }
}

impl From<StdoutError> for Failure {
    fn from(error: StdoutError) -> Self {
        Self::Other(error.into())
    }
}
