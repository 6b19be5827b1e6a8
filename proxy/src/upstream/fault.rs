//! What a failed connection or exchange with an upstream is called.
//! It decides neither the answer to the client nor a retry.

use std::error::Error as StdError;
use std::io;

use crate::error::Reason;

/// The same on every system that we build for; the standard library has no name for them.
const ENFILE: i32 = 23;
const EMFILE: i32 = 24;

/// Why a request got no answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Fault {
    pub reason: Reason,
    /// Whether the connection went away without a word: what a kept connection does that the upstream had given up.
    pub died: bool,
}

/// Names what hyper says of an exchange over HTTP/2, before the head of an answer was there and while the request's body was sound.
pub(super) fn of_exchange(error: &hyper::Error) -> Fault {
    let died = Fault { reason: Reason::UpstreamClosed, died: true };
    let protocol = Fault { reason: Reason::UpstreamProtocol, died: false };
    if error.is_canceled() || error.is_closed() {
        return died;
    }
    if let Some(h2) = find::<h2::Error>(error) {
        // A stream that was refused was never looked at.
        if h2.is_io()
            || h2.is_remote() && matches!(h2.reason(), Some(h2::Reason::REFUSED_STREAM | h2::Reason::NO_ERROR))
        {
            return died;
        }
        // What h2 would not send is our fault.
        if h2.reason().is_none() {
            return Fault { reason: Reason::Internal, died: false };
        }
        return if h2.is_remote() { Fault { died: false, ..died } } else { protocol };
    }
    if find::<io::Error>(error).is_some() { died } else { protocol }
}

/// Names what the system says about connecting.
pub(super) fn of_connect(error: &io::Error) -> Reason {
    match error.kind() {
        io::ErrorKind::TimedOut => Reason::ConnectTimeout,
        // No file descriptor left, for the process or the machine: nobody behind us can help that.
        _ if matches!(error.raw_os_error(), Some(EMFILE | ENFILE)) => Reason::Internal,
        _ => Reason::ConnectFailed,
    }
}

fn find<E: StdError + 'static>(error: &hyper::Error) -> Option<&E> {
    let mut cause = error.source();
    while let Some(error) = cause {
        if let Some(found) = error.downcast_ref() {
            return Some(found);
        }
        cause = error.source();
    }
    None
}
