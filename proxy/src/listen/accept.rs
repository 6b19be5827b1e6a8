//! Accepts connections, whatever the system says in between.
//! It does not know what becomes of them.

use std::io;
use std::net::SocketAddr;
use std::time::Duration;

use tokio::net::{TcpListener, TcpStream};
use tokio::time::sleep;

/// The first pause when the system has no more to give; doubled up to the last.
const FIRST_PAUSE: Duration = Duration::from_millis(50);
const LAST_PAUSE: Duration = Duration::from_secs(1);

/// Accepts from one socket.
#[derive(Debug)]
pub struct Acceptor {
    listener: TcpListener,
    pause: Duration,
}

/// How bad it is that an accept failed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Failure {
    /// The client was gone before we came to it; nothing to do.
    Connection,
    /// File descriptors, memory or buffers are used up: accepting goes on after a pause. Worth a warning and a count.
    Exhausted,
}

// === impl Acceptor ===

impl Acceptor {
    pub const fn new(listener: TcpListener) -> Self {
        Self { listener, pause: FIRST_PAUSE }
    }

    /// The next connection, without Nagle's delay. Each failure on the way is told to `failed`. Cancel safe.
    pub async fn accept(&mut self, mut failed: impl FnMut(Failure, &io::Error)) -> (TcpStream, SocketAddr) {
        loop {
            match self.listener.accept().await {
                Ok((stream, peer)) => {
                    self.pause = FIRST_PAUSE;
                    // It only fails when the client has gone, which shows itself soon enough.
                    let _ = stream.set_nodelay(true);
                    return (stream, SocketAddr::new(peer.ip().to_canonical(), peer.port()));
                }
                Err(error) => {
                    let failure = classify(&error);
                    failed(failure, &error);
                    if failure == Failure::Exhausted {
                        sleep(self.pause).await;
                        self.pause = (self.pause * 2).min(LAST_PAUSE);
                    }
                }
            }
        }
    }
}

/// What accept(2) lists as the fault of one connection goes on at once; with anything else, trying again at once would
/// only burn the core.
fn classify(error: &io::Error) -> Failure {
    match error.kind() {
        io::ErrorKind::ConnectionAborted
        | io::ErrorKind::ConnectionReset
        | io::ErrorKind::ConnectionRefused
        | io::ErrorKind::Interrupted
        | io::ErrorKind::WouldBlock
        | io::ErrorKind::TimedOut
        | io::ErrorKind::NetworkDown
        | io::ErrorKind::NetworkUnreachable
        | io::ErrorKind::HostUnreachable
        | io::ErrorKind::PermissionDenied => Failure::Connection,
        _ => Failure::Exhausted,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_shortage_makes_us_pause() {
        for code in [23, 24, 105, 12] {
            assert_eq!(classify(&io::Error::from_raw_os_error(code)), Failure::Exhausted, "{code}");
        }
        for code in [103, 104, 4, 1, 110, 113] {
            assert_eq!(classify(&io::Error::from_raw_os_error(code)), Failure::Connection, "{code}");
        }
    }
}
