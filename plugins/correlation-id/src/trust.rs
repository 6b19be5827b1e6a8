//! Whose ids are taken: everyone's, no one's, or those of some peers. Pure, but for the facts it asks for.
//! It does not look at the id.

use std::net::{IpAddr, Ipv6Addr};

use serde::de;
use tidegate_sdk::prelude::*;

/// Whose ids are taken.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Trust {
    /// Everyone's.
    Any,
    /// No one's: every id is new.
    None,
    /// Those of peers that one of these covers.
    Peers(Vec<Peers>),
}

/// Some peers. The peer is who is connected to the proxy, not the client behind it.
#[derive(Clone, Copy, Debug, Deserialize, PartialEq, Eq)]
#[serde(try_from = "String")]
pub enum Peers {
    /// Trusted proxies of the listener, and peers with a private, link-local or loopback address.
    Internal,
    /// Trusted proxies of the listener.
    TrustedProxies,
    /// Those of a network.
    Network {
        /// Its address.
        address: IpAddr,
        /// How many bits of it count.
        bits: u8,
    },
}

// === impl Trust ===

impl Trust {
    /// Whether the peer of this exchange is trusted.
    pub fn covers(&self, exchange: &Exchange) -> bool {
        match self {
            Self::Any => true,
            Self::None => false,
            Self::Peers(peers) => {
                let address = exchange.peer_address().map(|peer| peer.ip().to_canonical());
                let trusted = exchange.is_trusted_peer();
                peers.iter().any(|peers| peers.covers(address, trusted))
            }
        }
    }
}

impl Default for Trust {
    fn default() -> Self {
        Self::Peers(vec![Peers::Internal])
    }
}

impl<'de> Deserialize<'de> for Trust {
    fn deserialize<D: de::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Visitor;
        impl<'de> de::Visitor<'de> for Visitor {
            type Value = Trust;

            fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.write_str("`any`, `none`, or a list of `internal`, `trusted_proxies` and networks like `10.0.0.0/8`")
            }

            fn visit_str<E: de::Error>(self, text: &str) -> Result<Trust, E> {
                match text {
                    "any" => Ok(Trust::Any),
                    "none" => Ok(Trust::None),
                    _ => Err(E::invalid_value(de::Unexpected::Str(text), &self)),
                }
            }

            fn visit_seq<A: de::SeqAccess<'de>>(self, mut list: A) -> Result<Trust, A::Error> {
                let mut peers = Vec::new();
                while let Some(one) = list.next_element()? {
                    peers.push(one);
                }
                Ok(Trust::Peers(peers))
            }
        }
        deserializer.deserialize_any(Visitor)
    }
}

// === impl Peers ===

impl Peers {
    fn read(text: &str) -> Option<Self> {
        match text {
            "internal" => return Some(Self::Internal),
            "trusted_proxies" => return Some(Self::TrustedProxies),
            _ => {}
        }
        let (address, bits) = match text.split_once('/') {
            Some((address, bits)) => (address.parse().ok()?, bits.parse().ok()?),
            None => {
                let address: IpAddr = text.parse().ok()?;
                (address, width(address))
            }
        };
        (bits <= width(address)).then_some(Self::Network { address, bits })
    }

    fn covers(self, peer: Option<IpAddr>, trusted_proxy: bool) -> bool {
        match self {
            Self::TrustedProxies => trusted_proxy,
            Self::Internal => trusted_proxy || peer.is_some_and(is_internal),
            Self::Network { address, bits } => peer.is_some_and(|peer| same_network(peer, address, bits)),
        }
    }
}

impl TryFrom<String> for Peers {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        Self::read(&text).ok_or_else(|| {
            format!("`{text}` is none of `internal`, `trusted_proxies`, and a network like `10.0.0.0/8`")
        })
    }
}

const fn width(address: IpAddr) -> u8 {
    match address {
        IpAddr::V4(_) => 32,
        IpAddr::V6(_) => 128,
    }
}

fn is_internal(address: IpAddr) -> bool {
    match address {
        IpAddr::V4(address) => address.is_private() || address.is_loopback() || address.is_link_local(),
        IpAddr::V6(address) => address.is_loopback() || address.is_unique_local() || address.is_unicast_link_local(),
    }
}

fn same_network(a: IpAddr, b: IpAddr, bits: u8) -> bool {
    match (a, b) {
        (IpAddr::V4(a), IpAddr::V4(b)) => {
            shifted(a.to_ipv6_mapped(), bits + 96) == shifted(b.to_ipv6_mapped(), bits + 96)
        }
        (IpAddr::V6(a), IpAddr::V6(b)) => shifted(a, bits) == shifted(b, bits),
        _ => false,
    }
}

/// The first bits of an address; none of them for 0.
fn shifted(address: Ipv6Addr, bits: u8) -> u128 {
    u128::from(address).checked_shr(128 - u32::from(bits)).unwrap_or_default()
}
