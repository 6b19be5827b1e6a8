//! What an answer of the service means, and what of it is kept.
//! It changes nothing of an exchange.

use std::time::Duration;

use tidegate_sdk::{Answer, Bytes, Reply};

/// What an answer means.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Meaning {
    /// 2xx.
    Allowed,
    /// 401, 403, or a redirect, as to a page where one can sign in: the client gets to see it.
    Denied,
    /// Everything else is not what a service answers that works.
    Failed,
}

/// Headers of an answer that denies which the client gets.
const PASSED_ON: [&str; 7] = [
    "www-authenticate",
    "location",
    "set-cookie",
    "content-type",
    "content-language",
    "content-encoding",
    "cache-control",
];

/// What a status means.
pub const fn meaning(status: u16) -> Meaning {
    match status {
        200..=299 => Meaning::Allowed,
        301 | 302 | 303 | 307 | 308 | 401 | 403 => Meaning::Denied,
        _ => Meaning::Failed,
    }
}

/// The client's answer, from the service's one that denies.
pub fn reply(answer: &Answer) -> Reply {
    let mut reply = Reply::new(answer.status()).body(answer.body());
    for name in PASSED_ON {
        for value in answer.all(name) {
            reply = reply.header(name, &**value);
        }
    }
    match answer.header("cache-control") {
        Some(_) => reply,
        // It is about this client alone, even where its status could be stored.
        None => reply.header("cache-control", "no-store"),
    }
}

/// For how long an answer that lets pass may be remembered; `None` for not at all.
pub fn lifetime(answer: &Answer, ttl: Duration) -> Option<Duration> {
    if answer.header("set-cookie").is_some() {
        return None;
    }
    let mut lifetime = ttl;
    for value in answer.all("cache-control") {
        for directive in value.to_str_lossy().to_ascii_lowercase().split(',').map(str::trim) {
            match directive.split_once('=') {
                None if matches!(directive, "no-store" | "no-cache") => return None,
                // With a list of headers, for which it cannot be found out here what they mean.
                Some(("no-cache" | "no-store", _)) => return None,
                Some(("max-age", seconds)) => match seconds.trim_matches('"').parse() {
                    Ok(seconds) => lifetime = lifetime.min(Duration::from_secs(seconds)),
                    Err(_) => return None,
                },
                _ => {}
            }
        }
    }
    Some(lifetime).filter(|lifetime| !lifetime.is_zero())
}

/// The identity in an answer: the first value of each header, in this order.
pub fn identity<'a>(answer: &Answer, headers: impl Iterator<Item = &'a str>) -> Vec<Option<Bytes>> {
    headers.map(|header| answer.header(header).cloned()).collect()
}

/// An identity as bytes: for each header its length and one more, or 0 where there is none, then its bytes.
pub fn encode(identity: &[Option<Bytes>]) -> Vec<u8> {
    let mut encoded = Vec::new();
    for value in identity {
        let length = value.as_ref().map_or(0, |value| value.len() + 1);
        encoded.extend(u32::try_from(length).unwrap_or(u32::MAX).to_le_bytes());
        encoded.extend(value.iter().flat_map(|value| value.iter()));
    }
    encoded
}

/// What [`encode`] wrote, of so many headers; `None` when it is something else.
pub fn decode(mut encoded: &[u8], count: usize) -> Option<Vec<Option<Bytes>>> {
    let mut identity = Vec::new();
    for _ in 0..count {
        let (length, rest) = encoded.split_first_chunk()?;
        let length = usize::try_from(u32::from_le_bytes(*length)).ok()?;
        let (value, rest) = rest.split_at_checked(length.saturating_sub(1))?;
        identity.push((length > 0).then(|| Bytes::from(value)));
        encoded = rest;
    }
    encoded.is_empty().then_some(identity)
}
