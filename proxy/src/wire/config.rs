//! What is accepted on the wire, after every check.
//! It reads no byte.

use std::fmt;
use std::net::IpAddr;
use std::str::FromStr;
use std::time::Duration;

/// What a request's head may be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct HeadLimits {
    /// Bytes from the request line to the empty line.
    pub max_size: usize,
    pub max_headers: usize,
    /// For a connection's first head from its acceptance, later from a head's first byte (but not before the exchange
    /// before it is over), to the empty line.
    pub timeout: Duration,
}

/// An IP network, `10.0.0.0/8`; a bare address is a network of one.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Network {
    pub address: IpAddr,
    pub prefix: u8,
}

/// Why a text is not a network.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum NetworkError {
    #[error("not an IP address, with `/bits` behind it or without")]
    Address,
    #[error("more bits than the address has")]
    Prefix,
    #[error("the address has bits set behind the prefix")]
    HostBits,
}

// === impl Network ===

impl Network {
    /// A network of the addresses that share the first `prefix` bits with `address`.
    ///
    /// # Errors
    /// When the prefix is too long, or the address is not the network's first.
    pub fn new(address: IpAddr, prefix: u8) -> Result<Self, NetworkError> {
        let network = Self { address, prefix };
        if prefix > bits(address) {
            return Err(NetworkError::Prefix);
        }
        if network.masked(address) != number(address) {
            return Err(NetworkError::HostBits);
        }
        Ok(network)
    }

    /// Whether `address` is one of it. An IPv4 address that came as IPv6 (`::ffff:10.0.0.1`) counts as IPv4.
    pub fn contains(&self, address: IpAddr) -> bool {
        let address = address.to_canonical();
        address.is_ipv4() == self.address.is_ipv4() && self.masked(address) == self.masked(self.address)
    }

    fn masked(&self, address: IpAddr) -> u128 {
        let host = u32::from(bits(address).saturating_sub(self.prefix));
        let mask = u128::MAX.checked_shl(host).unwrap_or(0);
        number(address) & mask
    }
}

impl FromStr for Network {
    type Err = NetworkError;

    fn from_str(text: &str) -> Result<Self, NetworkError> {
        let (address, prefix) = text.split_once('/').map_or((text, None), |(address, prefix)| (address, Some(prefix)));
        let address: IpAddr = address.parse().map_err(|_| NetworkError::Address)?;
        let prefix = match prefix {
            Some(digits) if digits.bytes().all(|digit| digit.is_ascii_digit()) => {
                digits.parse().map_err(|_| NetworkError::Prefix)?
            }
            Some(_) => return Err(NetworkError::Address),
            None => bits(address),
        };
        Self::new(address, prefix)
    }
}

impl fmt::Display for Network {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.address, self.prefix)
    }
}

const fn bits(address: IpAddr) -> u8 {
    match address {
        IpAddr::V4(_) => 32,
        IpAddr::V6(_) => 128,
    }
}

fn number(address: IpAddr) -> u128 {
    match address {
        IpAddr::V4(address) => u128::from(address.to_bits()),
        IpAddr::V6(address) => address.to_bits(),
    }
}
