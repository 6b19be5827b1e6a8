//! A listening socket of one worker, among others on the same address.
//! It accepts nothing.

use std::io;
use std::net::{SocketAddr, TcpListener};

use socket2::{Domain, Protocol, Type};

use crate::listen::Error;
use crate::listen::config::Listener;

/// Connections that the kernel keeps for us before they are accepted.
const BACKLOG: i32 = 1024;

/// A bound socket, on its way to the worker that will accept from it.
#[derive(Debug)]
pub struct Socket {
    inner: socket2::Socket,
    address: SocketAddr,
}

// === impl Socket ===

impl Socket {
    /// Opens the first socket of a listener. With port 0 the system chooses one, which [`address`](Self::address) tells.
    ///
    /// `[::]` takes IPv4 clients too where the system allows it (on Linux unless `net.ipv6.bindv6only` is set); their
    /// addresses are shown as IPv4.
    ///
    /// # Errors
    /// [`Error::Bind`], with what to do about it.
    pub fn bind(listener: &Listener) -> Result<Self, Error> {
        Self::open(listener.address)
    }

    /// Opens one more socket on the same address, for another worker; the kernel spreads connections over all of them
    /// (`SO_REUSEPORT`).
    ///
    /// # Errors
    /// [`Error::Bind`].
    pub fn another(&self) -> Result<Self, Error> {
        Self::open(self.address)
    }

    /// Where it listens.
    pub const fn address(&self) -> SocketAddr {
        self.address
    }

    /// For the worker's runtime, within which this must be called.
    ///
    /// # Errors
    /// When the runtime cannot watch the socket.
    pub fn listen(self) -> io::Result<tokio::net::TcpListener> {
        tokio::net::TcpListener::from_std(TcpListener::from(self.inner))
    }

    fn open(address: SocketAddr) -> Result<Self, Error> {
        Self::try_open(address).map_err(|cause| Error::Bind { address, advice: advice(&cause), cause })
    }

    fn try_open(address: SocketAddr) -> io::Result<Self> {
        let inner = socket2::Socket::new(Domain::for_address(address), Type::STREAM, Some(Protocol::TCP))?;
        // Without it a restart would wait for the old connections to be forgotten.
        inner.set_reuse_address(true)?;
        inner.set_reuse_port(true)?;
        inner.set_nonblocking(true)?;
        inner.bind(&address.into())?;
        inner.listen(BACKLOG)?;
        let address = inner.local_addr()?.as_socket().ok_or(io::ErrorKind::AddrNotAvailable)?;
        Ok(Self { inner, address })
    }
}

fn advice(cause: &io::Error) -> &'static str {
    match cause.kind() {
        io::ErrorKind::AddrInUse => "; stop what listens there, or choose another port",
        io::ErrorKind::PermissionDenied => "; choose a port from 1024 on, or give the binary CAP_NET_BIND_SERVICE",
        io::ErrorKind::AddrNotAvailable => "; no interface has this address: check it, or use 0.0.0.0",
        _ => "",
    }
}

#[cfg(test)]
mod tests {
    use std::num::NonZeroU32;
    use std::time::Duration;

    use super::*;
    use crate::wire::config::HeadLimits;

    fn listener(address: &str) -> Listener {
        Listener {
            name: "web".into(),
            address: address.parse().unwrap(),
            tls: None,
            trusted_proxies: Vec::new(),
            max_connections: NonZeroU32::MIN,
            head: HeadLimits { max_size: 1024, max_headers: 10, timeout: Duration::from_secs(1) },
            idle_timeout: Duration::from_secs(1),
            plugins: Vec::new(),
        }
    }

    #[test]
    fn workers_share_a_port_that_the_system_chose() {
        let first = Socket::bind(&listener("127.0.0.1:0")).unwrap();
        let second = first.another().unwrap();
        assert_ne!(first.address().port(), 0);
        assert_eq!(first.address(), second.address());
    }

    #[test]
    fn an_address_that_is_taken_is_named_with_what_to_do() {
        let taken = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = taken.local_addr().unwrap().to_string();
        let error = Socket::bind(&listener(&address)).unwrap_err().to_string();
        assert!(error.contains(&address) && error.contains("choose another port"), "{error}");
    }

    #[test]
    fn an_address_of_another_machine_is_named_with_what_to_do() {
        let error = Socket::bind(&listener("192.0.2.1:0")).unwrap_err().to_string();
        assert!(error.contains("no interface has this address"), "{error}");
    }
}
