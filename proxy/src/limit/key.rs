//! What a limit counts by, as sixteen bytes.
//! It stores no text of a request, and counts nothing.

use std::hash::{BuildHasher, RandomState};
use std::net::IpAddr;

use super::Subject;
use super::config::Key;

/// One key of a limit. All keys of a limit are of the same kind, so the kind is not part of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Digest(u128);

/// Makes the digests of one limit.
#[derive(Debug)]
pub struct Digests {
    key: Key,
    /// Two secret hashes of 64 bits each: nobody can make two header values meet, and none are kept.
    low: RandomState,
    high: RandomState,
}

// === impl Digests ===

impl Digests {
    /// For a limit that counts by `key`.
    pub fn new(key: Key) -> Self {
        Self { key, low: RandomState::new(), high: RandomState::new() }
    }

    /// The key that this request counts for; `None` where it counts for none.
    pub fn digest(&self, subject: &Subject<'_>) -> Option<Digest> {
        Some(match &self.key {
            Key::Global => Digest(0),
            Key::Route => self.secret(subject.route.as_bytes()),
            Key::ClientAddress { ipv6_prefix } => Digest(address(subject.client, *ipv6_prefix)),
            Key::Header(name) => match subject.headers.get(name) {
                None => Digest(0),
                Some(value) => self.secret(value.as_bytes()),
            },
            Key::Plugin(name) => {
                // What was set last counts.
                let (_, value) = subject.plugin_keys.iter().rev().find(|(set, _)| **set == **name)?;
                self.secret(value)
            }
        })
    }

    fn secret(&self, text: &[u8]) -> Digest {
        Digest(u128::from(self.high.hash_one(text)) << 64 | u128::from(self.low.hash_one(text)))
    }
}

/// IPv4, also when it is written as IPv6, counts by the whole address; IPv6 by its first bits, because whoever has one
/// address of a network usually has all of it.
fn address(client: IpAddr, ipv6_prefix: u8) -> u128 {
    match client.to_canonical() {
        IpAddr::V4(address) => u128::from(address.to_ipv6_mapped()),
        IpAddr::V6(address) => {
            let host_bits = 128_u32.saturating_sub(u32::from(ipv6_prefix));
            u128::from(address) & u128::MAX.checked_shl(host_bits).unwrap_or(0)
        }
    }
}
