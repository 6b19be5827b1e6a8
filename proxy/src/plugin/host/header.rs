//! Host functions for headers: values are bytes, and what would change the framing of a message is refused.
//! Which headers the proxy itself adds or removes is not decided here.

use http::header::{CONNECTION, CONTENT_LENGTH, HOST, TE, TRAILER, TRANSFER_ENCODING, UPGRADE};
use http::{HeaderMap, HeaderName, HeaderValue};
use tidegate_abi::{Hook, MODULE, Reader, headers, imports, limits, status};
use wasmtime::{Caller, Linker};

use super::{Result, State, give, parts, range, read};
use crate::plugin::config::Capability;
use crate::plugin::contract::Matter;
use crate::plugin::drops::{Effect, Why};
use crate::telemetry::record::CopiedHeaders;

/// Names that an instance remembers: a plugin asks for the same few again and again, and to check one takes longer than to find it.
const NAMES: usize = 16;

/// A name that the guest has used, written as HTTP has it.
#[derive(Clone, Debug)]
pub(in crate::plugin) struct Known {
    name: HeaderName,
    is_forbidden: bool,
}

pub(super) fn link(linker: &mut Linker<State>) -> Result<()> {
    linker.func_wrap(
        MODULE,
        imports::HEADER_READ,
        |mut caller: Caller<'_, State>, map: i32, name: i32, name_len: i32, index: i32, buf: i32, cap: i32| {
            let (memory, state) = parts(&mut caller)?;
            let name = known(state, read(memory, name, name_len)?).map(|known| known.name);
            let index = usize::try_from(index).unwrap_or(usize::MAX);
            let seen = match seen(state, map) {
                Ok(seen) => seen,
                Err(status) => return Ok(status),
            };
            let value = name.as_ref().and_then(|name| match seen {
                Seen::Map(map) if index == 0 => map.get(name).map(HeaderValue::as_bytes),
                Seen::Map(map) => map.get_all(name).iter().nth(index).map(HeaderValue::as_bytes),
                Seen::Copied(copied) => copied.get(name.as_str(), index),
            });
            match value {
                Some(value) => give(memory, buf, cap, value),
                None => range(memory, buf, cap).map(|_| status::ABSENT),
            }
        },
    )?;
    linker.func_wrap(
        MODULE,
        imports::HEADERS_READ,
        |mut caller: Caller<'_, State>, map: i32, buf: i32, cap: i32| {
            let (memory, state) = parts(&mut caller)?;
            match seen(state, map) {
                Ok(Seen::Map(map)) => {
                    let range = range(memory, buf, cap)?;
                    Ok(encode(map, memory.get_mut(range).unwrap_or_default()))
                }
                Ok(Seen::Copied(copied)) => give(memory, buf, cap, copied.encoded()),
                Err(status) => Ok(status),
            }
        },
    )?;
    for (import, replace) in [(imports::HEADER_SET, true), (imports::HEADER_ADD, false)] {
        linker.func_wrap(
            MODULE,
            import,
            move |mut caller: Caller<'_, State>, map: i32, name: i32, name_len: i32, value: i32, value_len: i32| {
                let (memory, state) = parts(&mut caller)?;
                let (name, value) = (read(memory, name, name_len)?, read(memory, value, value_len)?);
                Ok(put(state, map, name, value, replace))
            },
        )?;
    }
    linker.func_wrap(
        MODULE,
        imports::HEADER_REMOVE,
        |mut caller: Caller<'_, State>, map: i32, name: i32, name_len: i32| {
            let (memory, state) = parts(&mut caller)?;
            Ok(remove(state, map, read(memory, name, name_len)?))
        },
    )?;
    Ok(())
}

/// Headers as a guest reads them: where they still are, or as they went.
enum Seen<'a> {
    Map(&'a HeaderMap),
    Copied(&'a CopiedHeaders),
}

fn seen(state: &mut State, map: i32) -> Result<Seen<'_>, i32> {
    let sent = |state: &State| match (map, &state.record) {
        (headers::REQUEST, Some(record)) => record.sent.request.is_some(),
        (headers::RESPONSE, Some(record)) => record.sent.response.is_some(),
        _ => false,
    };
    if !sent(state) {
        return pick(state, map).map(|map| Seen::Map(map));
    }
    let sent = &state.record()?.sent;
    let copied = if map == headers::REQUEST { &sent.request } else { &sent.response };
    copied.as_ref().map(Seen::Copied).ok_or(status::ABSENT)
}

/// The headers where they still are.
fn pick(state: &mut State, map: i32) -> Result<&mut HeaderMap, i32> {
    match map {
        headers::REQUEST => state.record().map(|record| &mut record.request.headers),
        headers::RESPONSE => {
            state.record()?.response.as_mut().map(|response| &mut response.headers).ok_or(status::ABSENT)
        }
        headers::REQUEST_TRAILERS | headers::RESPONSE_TRAILERS => {
            let of = if map == headers::REQUEST_TRAILERS { Hook::RequestTrailers } else { Hook::ResponseTrailers };
            match &mut state.matter {
                Matter::Trailers(trailers) if state.hook == of => Ok(trailers),
                _ => Err(status::STAGE),
            }
        }
        _ => Err(status::INVALID),
    }
}

/// The headers that a guest may change in this hook: of the message that has not gone yet.
fn pick_mut(state: &mut State, map: i32) -> Result<&mut HeaderMap, i32> {
    let may_change = match (map, state.hook) {
        (headers::REQUEST, Hook::RequestHead | Hook::UpstreamChosen) | (headers::RESPONSE, Hook::ResponseHead) => true,
        (headers::REQUEST, Hook::RequestBody) | (headers::RESPONSE, Hook::ResponseBody) => state.holds_head(),
        (headers::REQUEST | headers::RESPONSE, _) => false,
        // They can be read where they can be changed.
        _ => true,
    };
    if may_change { pick(state, map) } else { Err(status::STAGE) }
}

fn put(state: &mut State, map: i32, name: &[u8], value: &[u8], replace: bool) -> i32 {
    if let Err(status) = state.demand(Capability::Headers, Effect::Header) {
        return status;
    }
    let (Some(name), Some(value)) = (settable(state, map, name), self::value(value)) else {
        return state.refuse(Effect::Header, Why::Invalid);
    };
    let headers = match pick_mut(state, map) {
        Ok(headers) => headers,
        Err(status) => return status,
    };
    // A request has one host: two servers that find two may each believe another.
    if name == HOST && !replace && headers.contains_key(HOST) {
        return state.refuse(Effect::Header, Why::Invalid);
    }
    if headers.len() >= limits::HEADERS && !(replace && headers.contains_key(&name)) {
        return state.refuse(Effect::Header, Why::Budget);
    }
    if replace {
        headers.insert(name, value);
    } else {
        headers.append(name, value);
    }
    status::OK
}

fn remove(state: &mut State, map: i32, name: &[u8]) -> i32 {
    if let Err(status) = state.demand(Capability::Headers, Effect::Header) {
        return status;
    }
    let name = HeaderName::from_bytes(name).ok().filter(|name| map != headers::REQUEST || name != HOST);
    let Some(name) = name.filter(|name| !is_forbidden(name)) else {
        return state.refuse(Effect::Header, Why::Invalid);
    };
    match pick_mut(state, map) {
        Ok(headers) => match headers.entry(name) {
            http::header::Entry::Occupied(entry) => {
                i32::try_from(entry.remove_entry_mult().1.count()).unwrap_or(i32::MAX)
            }
            http::header::Entry::Vacant(_) => 0,
        },
        Err(status) => status,
    }
}

/// The name that these bytes are, or `None` where no header can be called so.
fn known(state: &mut State, name: &[u8]) -> Option<Known> {
    if let Some(known) = state.names.iter().find(|known| known.name.as_str().as_bytes() == name) {
        return Some(known.clone());
    }
    let parsed = HeaderName::from_bytes(name).ok()?;
    let known = Known { is_forbidden: is_forbidden(&parsed), name: parsed };
    if state.names.len() < NAMES && name.len() <= limits::NAME && known.name.as_str().as_bytes() == name {
        state.names.push(known.clone());
    }
    Some(known)
}

/// The name of a header that a plugin may set, or `None`.
pub(super) fn settable(state: &mut State, map: i32, name: &[u8]) -> Option<HeaderName> {
    let Known { name, is_forbidden } = known(state, name)?;
    (!is_forbidden && (map == headers::REQUEST || name != HOST)).then_some(name)
}

/// A header that a plugin may set, or `None`.
fn header(map: i32, name: &[u8], value: &[u8]) -> Option<(HeaderName, HeaderValue)> {
    let name = HeaderName::from_bytes(name).ok().filter(|name| may_set(map, name))?;
    Some((name, self::value(value)?))
}

fn may_set(map: i32, name: &HeaderName) -> bool {
    !is_forbidden(name) && (map == headers::REQUEST || name != HOST)
}

fn value(bytes: &[u8]) -> Option<HeaderValue> {
    if bytes.len() <= limits::HEADER_VALUE { HeaderValue::from_bytes(bytes).ok() } else { None }
}

/// A list of headers that the guest encoded, or `None` when one of them is not allowed.
pub(super) fn decode(map: i32, bytes: &[u8]) -> Option<HeaderMap> {
    let (mut reader, mut decoded) = (Reader::new(bytes), HeaderMap::new());
    while !reader.is_empty() {
        let (name, value) = header(map, reader.bytes().ok()?, reader.bytes().ok()?)?;
        if decoded.len() >= limits::HEADERS || name == HOST && decoded.contains_key(HOST) {
            return None;
        }
        decoded.append(name, value);
    }
    Some(decoded)
}

/// What frames a message, or belongs to one connection, is the proxy's alone.
fn is_forbidden(name: &HeaderName) -> bool {
    *name == CONTENT_LENGTH
        || *name == TRANSFER_ENCODING
        || *name == CONNECTION
        || *name == UPGRADE
        || *name == TE
        || *name == TRAILER
        || matches!(name.as_str(), "keep-alive" | "proxy-connection" | "http2-settings")
}

/// Writes every header as name and value while they fit. Returns how many bytes all need.
pub(super) fn encode(map: &HeaderMap, mut buffer: &mut [u8]) -> i32 {
    let mut total = 0_usize;
    for (name, value) in map {
        for bytes in [name.as_str().as_bytes(), value.as_bytes()] {
            let length = u32::try_from(bytes.len()).unwrap_or(u32::MAX).to_le_bytes();
            total += length.len() + bytes.len();
            for part in [&length[..], bytes] {
                let fits = part.len().min(buffer.len());
                let (now, rest) = buffer.split_at_mut(fits);
                now.copy_from_slice(part.get(..fits).unwrap_or_default());
                buffer = rest;
            }
        }
    }
    i32::try_from(total).unwrap_or(i32::MAX)
}
