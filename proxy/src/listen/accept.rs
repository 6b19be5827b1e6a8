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
                    return ready(stream, peer);
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

    /// The connections that the kernel has queued, asked for one after the other; then the socket is closed, which would
    /// have reset them. The runtime may not have heard of the last ones yet, so the socket itself is asked.
    pub fn queued(self) -> impl Iterator<Item = (TcpStream, SocketAddr)> {
        let listener = self.listener.into_std().ok();
        std::iter::from_fn(move || {
            loop {
                match listener.as_ref()?.accept() {
                    Ok((stream, peer)) => {
                        let adopted = stream.set_nonblocking(true).and_then(|()| TcpStream::from_std(stream));
                        if let Ok(stream) = adopted {
                            return Some(ready(stream, peer));
                        }
                    }
                    Err(error) if is_over(&error) => return None,
                    Err(_) => {}
                }
            }
        })
    }
}

/// A connection as the rest wants it.
fn ready(stream: TcpStream, peer: SocketAddr) -> (TcpStream, SocketAddr) {
    // It only fails when the client has gone, which shows itself soon enough.
    let _ = stream.set_nodelay(true);
    (stream, SocketAddr::new(peer.ip().to_canonical(), peer.port()))
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

/// Whether asking again would bring nothing: the queue is empty, or there is nothing left to accept with.
fn is_over(error: &io::Error) -> bool {
    error.kind() == io::ErrorKind::WouldBlock || classify(error) == Failure::Exhausted
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn what_is_queued_is_still_accepted() {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        // Nothing is awaited in between, so the runtime cannot have heard of them.
        let clients: Vec<_> = (0..3).map(|_| std::net::TcpStream::connect(address).unwrap()).collect();
        let accepted: Vec<_> = Acceptor::new(listener).queued().map(|(_, peer)| peer).collect();
        assert_eq!(accepted, clients.iter().map(|client| client.local_addr().unwrap()).collect::<Vec<_>>());
        assert!(std::net::TcpStream::connect(address).is_err());
    }

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
