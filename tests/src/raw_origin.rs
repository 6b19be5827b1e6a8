//! An origin that says any bytes at all: a script for each connection, on a thread of its own.
//! It knows no HTTP.

use std::net::{SocketAddr, TcpListener};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use crate::raw::RawConnection;

/// Starts an origin that runs `script` for each connection, with the connection's number from 0.
pub fn raw_origin(script: impl Fn(usize, &mut RawConnection) + Send + Sync + 'static) -> RawOrigin {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    let connections = Arc::new(AtomicUsize::new(0));
    let stopped = Arc::new(AtomicBool::new(false));
    let (count, stop, script) = (Arc::clone(&connections), Arc::clone(&stopped), Arc::new(script));
    std::thread::spawn(move || {
        for stream in listener.incoming().map_while(Result::ok) {
            if stop.load(Ordering::SeqCst) {
                return;
            }
            let number = count.fetch_add(1, Ordering::SeqCst);
            let script = Arc::clone(&script);
            std::thread::spawn(move || script(number, &mut RawConnection::new(stream)));
        }
    });
    RawOrigin { address, connections, stopped }
}

/// A running scripted origin.
#[derive(Debug)]
pub struct RawOrigin {
    address: SocketAddr,
    connections: Arc<AtomicUsize>,
    stopped: Arc<AtomicBool>,
}

impl RawOrigin {
    /// Where it listens.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// How many connections it has taken.
    pub fn connections(&self) -> usize {
        self.connections.load(Ordering::SeqCst)
    }
}

impl Drop for RawOrigin {
    fn drop(&mut self) {
        self.stopped.store(true, Ordering::SeqCst);
        // Wakes the thread that waits in accept, so that the port is free again.
        let _ = std::net::TcpStream::connect(self.address);
    }
}
