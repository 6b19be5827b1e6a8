//! What is accepted on the wire, after every check.
//! It reads no byte.

use std::net::IpAddr;
use std::time::Duration;

/// What a request's head may be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct HeadLimits {
    /// Bytes from the request line to the empty line.
    pub max_size: usize,
    pub max_headers: usize,
    /// From the first byte of the connection or the end of the request before, to the empty line.
    pub timeout: Duration,
}

/// An IP network, `10.0.0.0/8`; a bare address is a network of one.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Network {
    pub address: IpAddr,
    pub prefix: u8,
}
