//! `tidegate run`.
//! It hands the configuration to the supervisor and turns its end into an exit code.

use super::{ConfigArguments, Exit, print, source};
use crate::supervisor::{self, Error, Start};
use crate::telemetry::diagnostics::Diagnostics;

pub(super) fn run(arguments: &ConfigArguments) -> Exit {
    let loaded = match source::open(&arguments.config) {
        Ok(loaded) => loaded,
        Err(exit) => return exit,
    };
    let diagnostics = match Diagnostics::start() {
        Ok(diagnostics) => diagnostics,
        Err(error) => {
            print::err(&format!("error: {error}\n"));
            return Exit::Failure;
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
            print::err(&format!("error: {error}\n"));
            Exit::Failure
        }
    }
}
