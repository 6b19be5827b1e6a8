//! The exchange that a hook runs for: what can be read of it, and what can be added to it.
//! It keeps nothing itself; every question goes to the host.

use std::marker::PhantomData;
use std::net::{IpAddr, SocketAddr};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use tidegate_abi::{ABSENT_NUMBER, Number, Text, headers};

use crate::wait::milliseconds;
use crate::{
    Answer, BodyMode, Bytes, CallOut, CallOutError, Flow, Headers, Refused, Reply, Span, Value, call_out, ffi, wait,
};

/// One request and its response. Only a hook has one, for as long as it runs.
#[derive(Debug)]
pub struct Exchange {
    /// An exchange cannot be sent anywhere: it is whatever the host is busy with.
    here: PhantomData<*const ()>,
}

// === impl Exchange ===

impl Exchange {
    pub(crate) const fn new() -> Self {
        Self { here: PhantomData }
    }

    /// The first value of a request header.
    pub fn request_header(&self, name: &str) -> Option<Bytes> {
        self.request_headers().get(name)
    }

    /// The first value of a response header; `None` before there is a response.
    pub fn response_header(&self, name: &str) -> Option<Bytes> {
        self.response_headers().get(name)
    }

    /// The request's headers: as they will go upstream, or as they went.
    pub const fn request_headers(&self) -> Headers {
        Headers::new(headers::REQUEST)
    }

    /// The response's headers; empty before there is a response.
    pub const fn response_headers(&self) -> Headers {
        Headers::new(headers::RESPONSE)
    }

    /// The request's trailers; only in `request_trailers`.
    pub const fn request_trailers(&self) -> Headers {
        Headers::new(headers::REQUEST_TRAILERS)
    }

    /// The response's trailers; only in `response_trailers`.
    pub const fn response_trailers(&self) -> Headers {
        Headers::new(headers::RESPONSE_TRAILERS)
    }

    /// Sets a field of the exchange's log line. The proxy's own names are refused, and so is what exceeds the budget; the
    /// host counts both.
    pub fn log_field<'a>(&self, key: &str, value: impl Into<Value<'a>>) {
        match value.into() {
            Value::Text(text) => ffi::log_field_text(key, text.as_bytes()),
            Value::Bytes(bytes) => ffi::log_field_text(key, &bytes),
            Value::Int(number) => ffi::log_field_int(key, number),
            Value::Float(number) => ffi::log_field_float(key, number),
            Value::Bool(yes) => ffi::log_field_bool(key, yes.into()),
        };
    }

    /// The exchange's own span.
    pub const fn span(&self) -> Span {
        Span::exchange()
    }

    /// Answers instead of going on: a hook returns this. Possible as long as no head of an answer has gone: in `request_head`,
    /// `request_body`, `request_trailers`, the hooks of attempts, `response_head`, and in `response_body` while the head waits for it.
    /// Elsewhere it fails the hook.
    #[must_use = "the answer is only sent when the hook returns it"]
    pub const fn reply(&self, reply: Reply) -> Flow {
        Flow::Reply(reply)
    }

    /// Sets the correlation id (visible ASCII, at most 128 bytes), and the header that carries it upstream and back; only in
    /// `request_head`. An empty header name keeps the header as it is.
    ///
    /// # Errors
    /// When the host refuses it; then nothing has changed.
    pub fn set_correlation_id(&self, id: &str, header: &str) -> Result<(), Refused> {
        Refused::check(ffi::correlation_set(id, header)).map(drop)
    }
}

/// Waiting, in an `async` hook.
impl Exchange {
    /// Sends a request to an upstream and waits for its answer, while the instance serves other exchanges.
    ///
    /// # Errors
    /// When it was refused, or no answer came.
    pub async fn call_out(&self, call_out: CallOut) -> Result<Answer, CallOutError> {
        call_out::call_out(call_out).await
    }

    /// Waits: for whole milliseconds, rounded up, at most one hour.
    ///
    /// # Errors
    /// When it is longer than that, or too many hooks of the plugin wait ([`Refused::Budget`]).
    pub async fn sleep(&self, duration: Duration) -> Result<(), Refused> {
        wait::sleep(duration).await
    }
}

/// What a plugin decides for the rest of the exchange.
impl Exchange {
    /// Sends the exchange over another route, by its name: from here on its upstream, timeout and limits hold. The plugins stay those
    /// of the first one. Only in `request_head`.
    ///
    /// # Errors
    /// [`Refused::Absent`] when there is no such route, [`Refused::Stage`] in another hook, [`Refused::Denied`] when the operator
    /// does not allow it; then nothing has changed.
    pub fn set_route(&self, name: &str) -> Result<(), Refused> {
        Refused::check(ffi::route_set(name)).map(drop)
    }

    /// Sends the request to another upstream, by its name. Only before it was sent.
    ///
    /// # Errors
    /// As [`Exchange::set_route`].
    pub fn set_upstream(&self, name: &str) -> Result<(), Refused> {
        Refused::check(ffi::upstream_set(name)).map(drop)
    }

    /// Sets the timeout of the whole exchange, from its start: whole milliseconds, rounded up; `None` for no timeout. Only before the
    /// request was sent.
    ///
    /// # Errors
    /// [`Refused::Stage`] in another hook, [`Refused::Invalid`] when it is too long, [`Refused::Denied`] when the operator does not
    /// allow it; then nothing has changed.
    pub fn set_timeout(&self, timeout: Option<Duration>) -> Result<(), Refused> {
        let timeout = timeout.map_or(0, |timeout| milliseconds(timeout).max(1));
        Refused::check(ffi::timeout_set(timeout)).map(drop)
    }

    /// Sets the value that rate limits with `key: plugin.NAME` count by, 1024 bytes at most. Only in `request_head`.
    ///
    /// # Errors
    /// [`Refused::Invalid`] when the name is not 1 to 64 lower-case letters, digits, `_`, `.` and `-`, or the value is too long;
    /// else as [`Exchange::set_timeout`].
    pub fn set_limit_key(&self, name: &str, value: impl AsRef<[u8]>) -> Result<(), Refused> {
        Refused::check(ffi::limit_key_set(name, value.as_ref())).map(drop)
    }

    /// How `request_body` wants the body of this request, instead of what was defined. Only in `request_head`.
    ///
    /// # Errors
    /// [`Refused::Stage`] in another hook, [`Refused::Invalid`] when it is more than 64 MiB.
    pub fn request_body_mode(&self, mode: BodyMode) -> Result<(), Refused> {
        mode.tell(tidegate_abi::Body::Request)
    }

    /// How `response_body` wants the body of this response, instead of what was defined. Only in `request_head` and `response_head`.
    ///
    /// # Errors
    /// As [`Exchange::request_body_mode`].
    pub fn response_body_mode(&self, mode: BodyMode) -> Result<(), Refused> {
        mode.tell(tidegate_abi::Body::Response)
    }
}

macro_rules! texts {
    ($($(#[$doc:meta])* $name:ident = $text:ident;)*) => {
        impl Exchange {$(
            $(#[$doc])*
            pub fn $name(&self) -> Bytes {
                text(Text::$text).unwrap_or_else(Bytes::empty)
            }
        )*}
    };
}

macro_rules! optional_texts {
    ($($(#[$doc:meta])* $name:ident = $text:ident;)*) => {
        impl Exchange {$(
            $(#[$doc])*
            pub fn $name(&self) -> Option<Bytes> {
                text(Text::$text)
            }
        )*}
    };
}

texts! {
    /// The request's method.
    method = Method;
    /// `http` or `https`, as the client spoke to us.
    scheme = Scheme;
    /// The request's host in lower case, without the port.
    host = Host;
    /// The path as received, without the query.
    path = Path;
    /// `HTTP/1.0`, `HTTP/1.1` or `HTTP/2`.
    protocol = Protocol;
    /// The listener's name.
    listener = Listener;
    /// The trace id, 32 hexadecimal digits.
    trace_id = TraceId;
    /// The id of the exchange's own span, 16 hexadecimal digits.
    span_id = SpanId;
    /// The correlation id.
    correlation_id = CorrelationId;
    /// The header that carries the correlation id.
    correlation_header = CorrelationHeader;
    /// The plugin's own name in the configuration.
    plugin_name = PluginName;
}

optional_texts! {
    /// The query, without its `?`.
    query = Query;
    /// The route's name, where one matched.
    route = Route;
    /// The route's template, as in the `http.route` attribute.
    route_template = RouteTemplate;
    /// The upstream's name.
    upstream = Upstream;
    /// The endpoint that was chosen last, `address:port`.
    endpoint = Endpoint;
    /// Why the exchange failed, from the proxy's closed list.
    error_reason = ErrorReason;
    /// Who made it fail: `client`, `upstream`, `plugin` or `proxy`.
    error_source = ErrorSource;
    /// Why the last attempt failed, from the proxy's closed list: in `upstream_error` and `retry`.
    attempt_error = AttemptError;
}

impl Exchange {
    /// The client's address, after trusted proxies.
    pub fn client_address(&self) -> Option<IpAddr> {
        text(Text::ClientAddress)?.to_str()?.parse().ok()
    }

    /// The address of the peer that is connected to the proxy.
    pub fn peer_address(&self) -> Option<SocketAddr> {
        text(Text::PeerAddress)?.to_str()?.parse().ok()
    }

    /// The response's status; `None` before there is one.
    pub fn status(&self) -> Option<u16> {
        number(Number::Status).and_then(|status| u16::try_from(status).ok())
    }

    /// Bytes of the request's body so far.
    pub fn request_bytes(&self) -> u64 {
        count(Number::RequestBytes)
    }

    /// Bytes of the response's body so far.
    pub fn response_bytes(&self) -> u64 {
        count(Number::ResponseBytes)
    }

    /// How long the exchange has taken so far; in `log`, in all.
    pub fn duration(&self) -> Duration {
        Duration::from_nanos(count(Number::Duration))
    }

    /// From sending the request upstream to the response's head; `None` before that.
    pub fn upstream_duration(&self) -> Option<Duration> {
        number(Number::UpstreamDuration).map(|nanos| Duration::from_nanos(u64::try_from(nanos).unwrap_or_default()))
    }

    /// How many attempts were made upstream.
    pub fn attempts(&self) -> u32 {
        u32::try_from(count(Number::Attempts)).unwrap_or(u32::MAX)
    }

    /// How long the last attempt has taken: to the response's head, to its failure, or so far. `None` before there was one.
    pub fn attempt_duration(&self) -> Option<Duration> {
        number(Number::AttemptDuration).map(|nanos| Duration::from_nanos(u64::try_from(nanos).unwrap_or_default()))
    }

    /// The status that the last attempt was answered with, if it was.
    pub fn attempt_status(&self) -> Option<u16> {
        number(Number::AttemptStatus).and_then(|status| u16::try_from(status).ok())
    }

    /// Whether the last attempt went over a connection that was kept from before.
    pub fn attempt_reused(&self) -> bool {
        count(Number::AttemptReused) == 1
    }

    /// When the exchange began.
    pub fn started_at(&self) -> SystemTime {
        UNIX_EPOCH + Duration::from_nanos(count(Number::StartTime))
    }

    /// Whether the exchange's trace is sampled.
    pub fn is_sampled(&self) -> bool {
        count(Number::Sampled) == 1
    }

    /// Whether the peer is a trusted proxy of the listener.
    pub fn is_trusted_peer(&self) -> bool {
        count(Number::TrustedPeer) == 1
    }

    /// Whether the exchange became a WebSocket.
    pub fn is_websocket(&self) -> bool {
        count(Number::WebSocket) == 1
    }
}

pub(crate) fn text(text: Text) -> Option<Bytes> {
    Bytes::read(|buffer| ffi::text_read(text as i32, buffer))
}

fn number(number: Number) -> Option<i64> {
    Some(ffi::number_read(number as i32)).filter(|&number| number != ABSENT_NUMBER)
}

pub(crate) fn count(of: Number) -> u64 {
    number(of).and_then(|number| u64::try_from(number).ok()).unwrap_or_default()
}
