//! How a command fails: an exit code and one line for each mistake.

use super::output::complain;
use crate::config::{ConfigErrors, UnitError};
use crate::files;
use crate::manager::StartError;
use jackfield_plugin_api::Error;
use std::io;
use std::path::Path;
use std::process::ExitCode;

/// What a command comes to.
pub(super) type Outcome<T = ExitCode> = Result<T, Failure>;

/// It failed while it ran.
const RUN: u8 = 1;
/// What was asked or configured is wrong.
const CONFIG: u8 = 2;
/// No host is there to be asked.
const NO_HOST: u8 = 3;

/// Why a command ends early.
#[derive(Debug)]
pub(super) struct Failure {
    code: u8,
    lines: Vec<String>,
}

#[allow(clippy::needless_pass_by_value, reason = "by value they serve as they are in `map_err`")]
impl Failure {
    /// What was asked or configured is wrong.
    pub(super) fn config(error: impl ToString) -> Self {
        Failure { code: CONFIG, lines: vec![format!("error: {}", one_line(&error.to_string()))] }
    }

    /// As [`Failure::config`], with several mistakes.
    pub(super) fn config_lines(errors: Vec<String>) -> Self {
        let lines = errors.iter().map(|error| format!("error: {}", one_line(error))).collect();
        Failure { code: CONFIG, lines }
    }

    /// It failed while it ran.
    pub(super) fn run(error: impl ToString) -> Self {
        Failure { code: RUN, lines: vec![format!("error: {}", one_line(&error.to_string()))] }
    }

    /// Something could not be done with a file or folder that was named.
    pub(super) fn of_path(path: &Path, error: &io::Error) -> Self {
        Failure::config(format!("{}: {}", path.display(), files::why(path, error)))
    }

    /// No host is there to be asked.
    pub(super) fn no_host(error: impl ToString) -> Self {
        Failure { code: NO_HOST, ..Failure::run(error) }
    }

    /// Whether what was asked or configured is wrong, so that asking again helps nothing.
    pub(super) fn is_config(&self) -> bool {
        self.code == CONFIG
    }

    /// What it says, in one line.
    pub(super) fn text(&self) -> String {
        let lines: Vec<&str> =
            self.lines.iter().map(|line| line.trim_start_matches("error: ")).collect();
        lines.join("; ")
    }

    /// Writes the lines to standard error.
    pub(super) fn report(self) -> ExitCode {
        for line in &self.lines {
            complain(line);
        }
        ExitCode::from(self.code)
    }

    fn lines(code: u8, errors: &ConfigErrors) -> Self {
        let lines = errors.errors().iter().map(|error| one_line(&error.to_string())).collect();
        Failure { code, lines }
    }
}

impl From<ConfigErrors> for Failure {
    fn from(errors: ConfigErrors) -> Self {
        Failure::lines(CONFIG, &errors)
    }
}

impl From<StartError> for Failure {
    fn from(error: StartError) -> Self {
        match error {
            StartError::Config(errors) | StartError::State(errors) => {
                Failure::lines(CONFIG, &errors)
            }
            StartError::Plugins(errors) | StartError::Listen(errors) => {
                Failure::lines(RUN, &errors)
            }
        }
    }
}

impl From<Error> for Failure {
    fn from(error: Error) -> Self {
        Failure::run(error)
    }
}

impl From<UnitError> for Failure {
    fn from(error: UnitError) -> Self {
        Failure::config(error)
    }
}

/// A peer's words must not forge lines, nor steer a terminal.
pub(super) fn one_line(text: &str) -> String {
    text.chars().map(|c| if c.is_control() { ' ' } else { c }).collect()
}
