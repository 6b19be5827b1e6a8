//! Writing to the terminal.
//! It does not know what is written.

use std::io::{self, ErrorKind, Write};

use super::Exit;

/// Writes to standard output. A reader that has gone, as `| head` does, is no failure.
pub(super) fn out(text: &str) -> Exit {
    let mut stdout = io::stdout().lock();
    match stdout.write_all(text.as_bytes()).and_then(|()| stdout.flush()) {
        Ok(()) => Exit::Success,
        Err(error) if error.kind() == ErrorKind::BrokenPipe => Exit::Success,
        Err(_) => Exit::Failure,
    }
}

/// Writes to standard error, as well as it can.
pub(super) fn err(text: &str) {
    let _ = io::stderr().lock().write_all(text.as_bytes());
}
