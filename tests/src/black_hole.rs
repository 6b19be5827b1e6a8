//! An address that takes no connection and refuses none: whoever connects there waits.
//! It sends no byte.

use std::net::{SocketAddr, TcpListener, TcpStream};
use std::time::Duration;

/// A listener that never accepts, with a full backlog: the kernel drops what asks for one connection more.
#[derive(Debug)]
pub struct BlackHole {
    listener: TcpListener,
    _full: Vec<TcpStream>,
}

// === impl BlackHole ===

impl BlackHole {
    /// Opens one.
    #[allow(clippy::new_without_default)]
    pub fn new() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let mut full = Vec::new();
        while let Ok(stream) = TcpStream::connect_timeout(&address, Duration::from_millis(300)) {
            full.push(stream);
            assert!(full.len() < 5_000, "the backlog has no end");
        }
        Self { listener, _full: full }
    }

    /// Where it is.
    pub fn address(&self) -> SocketAddr {
        self.listener.local_addr().unwrap()
    }
}
