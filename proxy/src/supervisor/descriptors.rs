//! How many file descriptors the process may have: as many as whoever started it allows.
//! It does not know what they are needed for.

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

/// Raises the soft limit to the hard one, and gives what is then the limit; `None` where there is none.
///
/// The soft limit is low (often 1,024) for the sake of programs that use `select(2)`, which cannot hold a higher number.
/// Nothing here does, and the hard limit is what an operator means.
pub(super) fn raise() -> Option<u64> {
    let limit = getrlimit(Resource::Nofile);
    if limit.current == limit.maximum {
        return limit.current;
    }
    match setrlimit(Resource::Nofile, Rlimit { current: limit.maximum, maximum: limit.maximum }) {
        Ok(()) => {
            tracing::info!(from = limit.current, to = limit.maximum, "raised the limit of file descriptors");
            limit.maximum
        }
        Err(error) => {
            tracing::warn!(limit = limit.current, %error, "cannot raise the limit of file descriptors");
            limit.current
        }
    }
}
