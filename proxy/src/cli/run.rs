//! `tidegate run`.
//! It hands the configuration to the supervisor and turns its end into an exit code.

use super::{ConfigArguments, Exit, print, source};
use crate::supervisor::{self, Error, Start};
use crate::telemetry::diagnostics::{Diagnostics, Error as Unavailable};

pub(super) fn run(arguments: &ConfigArguments) -> Exit {
    let loaded = match source::open(&arguments.config) {
        Ok(loaded) => loaded,
        Err(exit) => return exit,
    };
    let diagnostics = match Diagnostics::start() {
        Ok(diagnostics) => diagnostics,
        Err(error) => {
            print::err(&format!("error: {error}\n"));
            return if matches!(error, Unavailable::Level(_)) { Exit::Misuse } else { Exit::Failure };
        }
    };
    let start = Start {
        loaded,
        path: Some(arguments.config.clone()),
        signals: true,
        ready: Box::new(|_| {}),
        stop: Box::pin(std::future::pending()),
    };
    let ended = supervisor::run(start);
    // Whatever was said on the way stands before the last word.
    drop(diagnostics);
    match ended {
        Ok(()) => Exit::Success,
        Err(Error::Configuration(faults)) => source::refuse(&faults),
        Err(error) => {
            print::err(&format!("error: {}\n", chain(&error)));
            Exit::Failure
        }
    }
}

/// An error with its causes, each once: some say their cause themselves.
fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        let said = error.to_string();
        if !text.contains(&said) {
            text = format!("{text}: {said}");
        }
        cause = error.source();
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Debug, thiserror::Error)]
    #[error("the log cannot be opened")]
    struct Silent(#[source] std::io::Error);

    #[derive(Debug, thiserror::Error)]
    #[error("cannot start: {0}")]
    struct Talkative(#[source] Silent);

    #[test]
    fn causes_are_said_once() {
        let error = Talkative(Silent(std::io::Error::other("disk full")));
        assert_eq!(chain(&error), "cannot start: the log cannot be opened: disk full");
    }
}
