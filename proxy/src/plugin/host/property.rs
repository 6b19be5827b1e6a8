//! Host functions that read the exchange: its texts and numbers, and its correlation id, which can also be set.
//! Nothing is computed before it is asked for.

use std::fmt::{self, Write};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use http::Version;
use tidegate_abi::{ABSENT_NUMBER, Hook, MODULE, Number, Text, headers, imports, limits, status};
use wasmtime::{Caller, Linker};

use super::{Result, State, give, parts, range, read};
use crate::plugin::config::Capability;
use crate::plugin::contract::{Event, Happened, Link, Matter};
use crate::plugin::drops::{Effect, Why};
use crate::telemetry::record::Record;

pub(super) fn link(linker: &mut Linker<State>) -> Result<()> {
    linker.func_wrap(
        MODULE,
        imports::TEXT_READ,
        |mut caller: Caller<'_, State>, property: i32, buf: i32, cap: i32| {
            let (memory, state) = parts(&mut caller)?;
            let Some(property) = Text::from_i32(property) else { return Ok(status::INVALID) };
            if property == Text::PluginName {
                return give(memory, buf, cap, state.identity.name.as_bytes());
            }
            let mut scratch = Scratch::default();
            let (value, missing) = match (state.record.as_deref(), &state.matter) {
                (Some(record), _) => (text(record, property, &mut scratch), status::ABSENT),
                (None, Matter::Connection(link)) => (of_link(link, property, &mut scratch), status::STAGE),
                (None, Matter::Event(event)) => (of_event(event, property, &mut scratch), status::STAGE),
                (None, _) => (None, status::STAGE),
            };
            match value {
                Some(value) => give(memory, buf, cap, value),
                None => range(memory, buf, cap).map(|_| missing),
            }
        },
    )?;
    linker.func_wrap(MODULE, imports::NUMBER_READ, |caller: Caller<'_, State>, property: i32| -> i64 {
        let (state, property) = (caller.data(), Number::from_i32(property));
        let value = property.and_then(|property| match (state.record.as_deref(), &state.matter) {
            (_, Matter::Piece(piece)) if property == Number::PieceBytes => Some(count(piece.bytes.len() as u64)),
            (_, Matter::Piece(piece)) if property == Number::PieceIsLast => Some(piece.is_last.into()),
            (Some(record), _) => number(record, property),
            (None, Matter::Connection(link)) => number_of_link(link, property),
            (None, Matter::Event(event)) => number_of_event(event, property),
            (None, _) => None,
        });
        value.unwrap_or(ABSENT_NUMBER)
    })?;
    linker.func_wrap(
        MODULE,
        imports::CORRELATION_SET,
        |mut caller: Caller<'_, State>, id: i32, id_len: i32, header: i32, header_len: i32| {
            let (memory, state) = parts(&mut caller)?;
            let (id, header) = (read(memory, id, id_len)?, read(memory, header, header_len)?);
            Ok(correlate(state, id, header))
        },
    )?;
    Ok(())
}

fn text<'a>(record: &'a Record, property: Text, scratch: &'a mut Scratch) -> Option<&'a [u8]> {
    let route = record.route.as_deref();
    Some(match property {
        Text::Method => record.request.method.as_str().as_bytes(),
        Text::Scheme => scheme(record.request.https),
        Text::Host => record.request.host.as_bytes(),
        Text::Path => record.request.uri.path().as_bytes(),
        Text::Query => record.request.uri.query()?.as_bytes(),
        Text::Protocol => match record.request.version {
            Version::HTTP_09 | Version::HTTP_10 => b"HTTP/1.0",
            Version::HTTP_2 => b"HTTP/2",
            _ => b"HTTP/1.1",
        },
        Text::Listener => record.listener.name.as_bytes(),
        Text::Route => route?.name.as_bytes(),
        Text::RouteTemplate => route?.template.as_bytes(),
        Text::Upstream => route?.upstream.as_bytes(),
        Text::Endpoint => record.attempts.last()?.endpoint.as_bytes(),
        Text::ClientAddress => scratch.print(format_args!("{}", record.client)),
        Text::PeerAddress => scratch.print(format_args!("{}", record.peer)),
        Text::TraceId => scratch.print(format_args!("{:032x}", record.trace.trace_id)),
        Text::SpanId => scratch.print(format_args!("{:016x}", record.trace.span.0)),
        Text::CorrelationId => record.correlation.id.as_bytes(),
        Text::CorrelationHeader => record.correlation.header.as_str().as_bytes(),
        Text::ErrorReason => record.error?.as_str().as_bytes(),
        Text::ErrorSource => record.error?.source().as_str().as_bytes(),
        Text::AttemptError => record.attempts.last()?.error?.as_str().as_bytes(),
        // Known without an exchange, and answered before.
        Text::PluginName | Text::Limit | Text::Decision | Text::BreakerState => return None,
    })
}

fn number(record: &Record, property: Number) -> Option<i64> {
    Some(match property {
        Number::Status => i64::from(record.response.as_ref()?.status.as_u16()),
        Number::RequestBytes => count(record.request_bytes),
        Number::ResponseBytes => count(record.response_bytes),
        Number::Duration => nanos(record.elapsed()),
        Number::UpstreamDuration => {
            let attempt = record.attempts.last()?;
            nanos(attempt.head?.duration_since(attempt.started))
        }
        Number::Attempts => count(record.attempts.len() as u64),
        Number::StartTime => nanos(since_epoch(record.started_at)),
        Number::Sampled => record.trace.sampled.into(),
        Number::TrustedPeer => record.trusted_peer.into(),
        Number::WebSocket => record.websocket.into(),
        Number::AttemptDuration => {
            let attempt = record.attempts.last()?;
            nanos(
                attempt
                    .head
                    .or(attempt.ended)
                    .map_or_else(|| attempt.started.elapsed(), |end| end.duration_since(attempt.started)),
            )
        }
        Number::AttemptStatus => i64::from(record.attempts.last()?.status?.as_u16()),
        Number::AttemptReused => record.attempts.last()?.reused.into(),
        // Not facts of an exchange.
        Number::PieceBytes | Number::PieceIsLast | Number::ConnectionExchanges | Number::EventsLost => return None,
    })
}

fn of_link<'a>(link: &'a Link, property: Text, scratch: &'a mut Scratch) -> Option<&'a [u8]> {
    Some(match property {
        Text::Listener => link.listener.as_bytes(),
        Text::PeerAddress => scratch.print(format_args!("{}", link.peer)),
        // Nobody has said yet that there is another client behind it.
        Text::ClientAddress => scratch.print(format_args!("{}", link.peer.ip())),
        Text::Scheme => scheme(link.https),
        _ => return None,
    })
}

fn number_of_link(link: &Link, property: Number) -> Option<i64> {
    Some(match property {
        Number::Duration => nanos(link.opened.elapsed()),
        Number::StartTime => nanos(since_epoch(link.opened_at)),
        Number::ConnectionExchanges => count(link.exchanges),
        _ => return None,
    })
}

fn of_event<'a>(event: &'a Event, property: Text, scratch: &'a mut Scratch) -> Option<&'a [u8]> {
    Some(match (&event.what, property) {
        (Happened::LimitDecision { limit, .. }, Text::Limit) => limit.as_bytes(),
        (Happened::LimitDecision { allowed: true, .. }, Text::Decision) => b"allowed",
        (Happened::LimitDecision { allowed: false, .. }, Text::Decision) => b"limited",
        (Happened::LimitDecision { route, .. }, Text::Route) => route.as_bytes(),
        (Happened::LimitDecision { client, .. }, Text::ClientAddress) => scratch.print(format_args!("{client}")),
        (Happened::BreakerTransition { upstream, .. }, Text::Upstream) => upstream.as_bytes(),
        (Happened::BreakerTransition { state, .. }, Text::BreakerState) => state.as_bytes(),
        _ => return None,
    })
}

fn number_of_event(event: &Event, property: Number) -> Option<i64> {
    match property {
        Number::StartTime => Some(nanos(since_epoch(event.at))),
        Number::EventsLost => Some(count(event.lost)),
        _ => None,
    }
}

const fn scheme(https: bool) -> &'static [u8] {
    if https { b"https" } else { b"http" }
}

fn nanos(duration: Duration) -> i64 {
    i64::try_from(duration.as_nanos()).unwrap_or(i64::MAX)
}

fn count(count: u64) -> i64 {
    i64::try_from(count).unwrap_or(i64::MAX)
}

/// A clock before 1970 reads 0.
pub(super) fn since_epoch(time: SystemTime) -> Duration {
    time.duration_since(UNIX_EPOCH).unwrap_or_default()
}

/// Sets the correlation id, and its header unless that is empty. Only before the request has gone.
fn correlate(state: &mut State, id: &[u8], header: &[u8]) -> i32 {
    if let Err(status) = state.demand(Capability::Headers, Effect::Correlation) {
        return status;
    }
    if state.hook != Hook::RequestHead {
        return status::STAGE;
    }
    let Some(record) = state.record.as_deref() else { return status::STAGE };
    // Most plugins leave the header as it is, or name the one that it is.
    let is_same = header.is_empty() || record.correlation.header.as_str().as_bytes() == header;
    let new = if is_same { None } else { super::header::settable(state, headers::RESPONSE, header) };
    let id = Some(id)
        .filter(|id| !id.is_empty() && id.len() <= limits::NAME && id.iter().all(u8::is_ascii_graphic))
        .and_then(|id| std::str::from_utf8(id).ok());
    match (id, &mut state.record) {
        (Some(id), Some(record)) if is_same || new.is_some() => {
            record.correlation.id = id.into();
            if let Some(header) = new {
                record.correlation.header = header;
            }
            status::OK
        }
        _ => state.refuse(Effect::Correlation, Why::Invalid),
    }
}

/// Room for the longest text that has to be printed: an IPv6 address with scope and port.
struct Scratch {
    bytes: [u8; 96],
    length: usize,
}

// === impl Scratch ===

impl Scratch {
    fn print(&mut self, text: fmt::Arguments<'_>) -> &[u8] {
        // Only fails when the text is longer than the room, which is then cut.
        let _ = self.write_fmt(text);
        self.bytes.get(..self.length).unwrap_or_default()
    }
}

impl Default for Scratch {
    fn default() -> Self {
        Self { bytes: [0; 96], length: 0 }
    }
}

impl Write for Scratch {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        let end = self.length + text.len();
        self.bytes.get_mut(self.length..end).ok_or(fmt::Error)?.copy_from_slice(text.as_bytes());
        self.length = end;
        Ok(())
    }
}
