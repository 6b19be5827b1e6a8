//! The native plugin ABI, version 1: the numbers, names and encodings that guest and host share.
//! It knows neither side's types: no allocation, no panic, no dependency.
//!
//! The normative description is `docs/abi.md`.
#![no_std]
#![forbid(unsafe_code)]

mod body;
mod hook;
mod property;
mod wire;

pub use body::{Body, Mode, Overflow};
pub use hook::{Hook, Signature, Verdict};
pub use property::{Number, Text};
pub use wire::{Malformed, Reader};

/// The ABI version that [`EXPORT_VERSION`] must return.
pub const VERSION: i32 = 1;

/// The import module under which every host function stands.
pub const MODULE: &str = "tidegate_v1";

/// Export `() -> i32`: the ABI version the guest was built for.
pub const EXPORT_VERSION: &str = "tidegate_abi_version";
/// Export `(slot: i32, ticket: i32) -> i32`: goes on with a hook that returned [`Verdict::Pending`].
pub const EXPORT_RESUME: &str = "tidegate_resume";
/// Export `(slot: i32)`: the exchange in `slot` is over; whatever the guest kept for it can go.
pub const EXPORT_RELEASE: &str = "tidegate_release";

/// What a host function returns when it cannot do what was asked. None of these traps.
pub mod status {
    /// Done.
    pub const OK: i32 = 0;
    /// There is no such value.
    pub const ABSENT: i32 = -1;
    /// The budget for this effect is used up; the effect was dropped and counted.
    pub const BUDGET: i32 = -2;
    /// An argument is not valid (a name, a number, an encoding, a reserved key).
    pub const INVALID: i32 = -3;
    /// Not possible in this hook.
    pub const STAGE: i32 = -4;
    /// The operator does not allow this effect.
    pub const DENIED: i32 = -5;
    /// The name is taken by something of another shape.
    pub const CONFLICT: i32 = -6;
    /// The call-out failed; [`crate::imports::ANSWER_READ`] says why.
    pub const FAILED: i32 = -7;
}

/// What [`Number`] reads give when there is no such value.
pub const ABSENT_NUMBER: i64 = i64::MIN;

/// Which header map a header function means.
pub mod headers {
    /// The request's headers: as they will go upstream before they were sent, as they went after.
    pub const REQUEST: i32 = 0;
    /// The response's headers, once there is a response.
    pub const RESPONSE: i32 = 1;
    /// The request's trailers, in [`crate::Hook::RequestTrailers`].
    pub const REQUEST_TRAILERS: i32 = 2;
    /// The response's trailers, in [`crate::Hook::ResponseTrailers`].
    pub const RESPONSE_TRAILERS: i32 = 3;
}

/// Which part of a call-out's answer [`imports::ANSWER_READ`] reads.
pub mod answer {
    /// The headers, encoded as by [`crate::imports::HEADERS_READ`].
    pub const HEADERS: i32 = 0;
    /// The body.
    pub const BODY: i32 = 1;
    /// Why there is no answer: a reason of the proxy's closed list.
    pub const ERROR: i32 = 2;
}

/// The span number of the exchange's own (server) span; child spans count from 1.
pub const EXCHANGE_SPAN: i32 = 0;

/// The kind of a metric, the first field of its definition.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u32)]
pub enum MetricKind {
    /// Only goes up.
    Counter = 0,
    /// Goes up and down.
    Gauge = 1,
    /// Counts observations in buckets.
    Histogram = 2,
}

impl MetricKind {
    /// The kind with this number.
    pub const fn from_u32(number: u32) -> Option<Self> {
        match number {
            0 => Some(Self::Counter),
            1 => Some(Self::Gauge),
            2 => Some(Self::Histogram),
            _ => None,
        }
    }
}

/// The level of a plugin's log line.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(i32)]
pub enum Level {
    /// Something failed.
    Error = 0,
    /// Something is odd.
    Warn = 1,
    /// Something worth telling happened.
    Info = 2,
    /// Details for whoever debugs the plugin.
    Debug = 3,
}

impl Level {
    /// The level with this number.
    pub const fn from_i32(number: i32) -> Option<Self> {
        match number {
            0 => Some(Self::Error),
            1 => Some(Self::Warn),
            2 => Some(Self::Info),
            3 => Some(Self::Debug),
            _ => None,
        }
    }
}

/// The status of a span, by OpenTelemetry's three codes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(i32)]
pub enum SpanStatus {
    /// Nothing was said.
    Unset = 0,
    /// Declared good.
    Ok = 1,
    /// Declared failed.
    Error = 2,
}

impl SpanStatus {
    /// The status with this number.
    pub const fn from_i32(number: i32) -> Option<Self> {
        match number {
            0 => Some(Self::Unset),
            1 => Some(Self::Ok),
            2 => Some(Self::Error),
            _ => None,
        }
    }
}

/// The number of a series: one index a label, mixed by the sizes of the label sets, first label most significant.
///
/// The values of a label set are numbered from 0 in their order; the number after the last means `other`. So a set of `n`
/// values has `n + 1` indices, and `series = ((i0 * (n1 + 1)) + i1) * (n2 + 1) + i2`. A metric without labels has series 0.
/// `labels` gives `(index, count of values)` for each label; an index beyond its set counts as `other`.
pub fn series(labels: &[(u32, u32)]) -> u32 {
    labels.iter().fold(0, |series: u32, &(index, count)| {
        series.wrapping_mul(count.wrapping_add(1)).wrapping_add(if index < count { index } else { count })
    })
}

/// How large things may be; what is beyond is refused with [`status::INVALID`].
pub mod limits {
    /// Bytes of a name: of a label set, a log field, an attribute, a span, an event.
    pub const NAME: usize = 128;
    /// Bytes of a text value: of a log field, an attribute, a status message.
    pub const TEXT: usize = 8 * 1024;
    /// Bytes of all log fields that one plugin gives to an exchange, keys and values together; a number and a boolean count 8.
    pub const FIELDS_BYTES: usize = 16 * 1024;
    /// Bytes of a log line; a longer one is cut.
    pub const LOG_LINE: usize = 8 * 1024;
    /// Bytes of a header value.
    pub const HEADER_VALUE: usize = 64 * 1024;
    /// Header fields of one request or response.
    pub const HEADERS: usize = 256;
    /// Bytes of the body of a reply.
    pub const REPLY_BODY: usize = 1024 * 1024;
    /// Values of a label set.
    pub const LABEL_VALUES: usize = 10_000;
    /// Labels of a metric.
    pub const LABELS: usize = 8;
    /// Bucket boundaries of a histogram.
    pub const BUCKETS: usize = 64;
    /// Series that the label sets of one metric may span (only the series in use cost memory).
    pub const SERIES_SPAN: u64 = 1 << 31;
    /// Bytes of the body of a call-out, and of the body of its answer.
    pub const CALL_OUT_BODY: usize = 1024 * 1024;
    /// Bytes that a hook may ask to peek at, or to buffer.
    pub const BODY: i64 = 64 * 1024 * 1024;
    /// Bytes of a key of the key-value store.
    pub const STORE_KEY: usize = 1024;
    /// Bytes of a value of the key-value store.
    pub const STORE_VALUE: usize = 1024 * 1024;
    /// Bytes that one generation can hand over to the next, for each worker.
    pub const HANDED_STATE: usize = 1024 * 1024;
    /// Bytes of a value of a rate limit's key.
    pub const LIMIT_KEY: usize = 1024;
    /// Milliseconds that a hook may sleep, or wait for a call-out, at most: one hour.
    pub const WAIT: i64 = 3_600_000;
    /// Label sets, and metrics, of a plugin.
    pub const DEFINITIONS: usize = 256;
    /// Attributes that one plugin may give to the spans of one exchange; as many events.
    pub const ATTRIBUTES: u16 = 128;
}

/// The host functions of [`MODULE`]. `buf, cap` is a buffer of the guest: the host writes at most
/// `cap` bytes there and returns the value's full length, or a [`status`].
pub mod imports {
    /// `(buf, cap) -> i32`: the plugin's `config`, as JSON.
    pub const CONFIG_READ: &str = "config_read";
    /// `(ptr, len)`: why `configure` returns [`crate::Verdict::Fail`].
    pub const REFUSE: &str = "refuse";
    /// `(ptr, len) -> i32`: defines a label set; see [`crate::Reader`] for the encoding. Only in `configure`.
    pub const DEFINE_LABEL_SET: &str = "define_label_set";
    /// `(ptr, len) -> i32`: defines a metric. Only in `configure`.
    pub const DEFINE_METRIC: &str = "define_metric";
    /// `(milliseconds: i64) -> i32`: how often `tick` is called (100 ms to 1 h). Only in `configure`.
    pub const TICK_EVERY: &str = "tick_every";
    /// `(metric, series, value: f64) -> i32`: adds to a counter (not below 0) or a gauge. For `series` see [`crate::series`].
    pub const METRIC_ADD: &str = "metric_add";
    /// `(metric, series, value: f64) -> i32`: sets a gauge.
    pub const METRIC_SET: &str = "metric_set";
    /// `(metric, series, value: f64) -> i32`: records an observation of a histogram.
    pub const METRIC_RECORD: &str = "metric_record";
    /// `(key, key_len, value, value_len) -> i32`: a text field of the exchange's log line.
    pub const LOG_FIELD_TEXT: &str = "log_field_text";
    /// `(key, key_len, value: i64) -> i32`
    pub const LOG_FIELD_INT: &str = "log_field_int";
    /// `(key, key_len, value: f64) -> i32`
    pub const LOG_FIELD_FLOAT: &str = "log_field_float";
    /// `(key, key_len, value: i32) -> i32`: 0 is false.
    pub const LOG_FIELD_BOOL: &str = "log_field_bool";
    /// `(level, ptr, len) -> i32`: a log line of the plugin's own.
    pub const LOG_LINE: &str = "log_line";
    /// `(parent, name, name_len) -> i32`: starts a child span, returns its number.
    pub const SPAN_START: &str = "span_start";
    /// `(span) -> i32`
    pub const SPAN_END: &str = "span_end";
    /// `(span, key, key_len, value, value_len) -> i32`
    pub const SPAN_ATTRIBUTE_TEXT: &str = "span_attribute_text";
    /// `(span, key, key_len, value: i64) -> i32`
    pub const SPAN_ATTRIBUTE_INT: &str = "span_attribute_int";
    /// `(span, key, key_len, value: f64) -> i32`
    pub const SPAN_ATTRIBUTE_FLOAT: &str = "span_attribute_float";
    /// `(span, key, key_len, value: i32) -> i32`: 0 is false.
    pub const SPAN_ATTRIBUTE_BOOL: &str = "span_attribute_bool";
    /// `(span, name, name_len) -> i32`
    pub const SPAN_EVENT: &str = "span_event";
    /// `(span, status, message, message_len) -> i32`
    pub const SPAN_STATUS: &str = "span_status";
    /// `(map, name, name_len, index, buf, cap) -> i32`: the `index`th value of a header.
    pub const HEADER_READ: &str = "header_read";
    /// `(map, buf, cap) -> i32`: all headers, each as name and value (see [`crate::Reader`]).
    pub const HEADERS_READ: &str = "headers_read";
    /// `(map, name, name_len, value, value_len) -> i32`: replaces all values of a header.
    pub const HEADER_SET: &str = "header_set";
    /// `(map, name, name_len, value, value_len) -> i32`: adds a value to a header.
    pub const HEADER_ADD: &str = "header_add";
    /// `(map, name, name_len) -> i32`: removes a header, returns how many values it had.
    pub const HEADER_REMOVE: &str = "header_remove";
    /// `(property, buf, cap) -> i32`: a [`crate::Text`] of the exchange.
    pub const TEXT_READ: &str = "text_read";
    /// `(property) -> i64`: a [`crate::Number`] of the exchange, or [`crate::ABSENT_NUMBER`].
    pub const NUMBER_READ: &str = "number_read";
    /// `(id, id_len, header, header_len) -> i32`: sets the correlation id and the header that carries it.
    pub const CORRELATION_SET: &str = "correlation_set";
    /// `(status, headers, headers_len, body, body_len) -> i32`: the answer that [`crate::Verdict::Reply`] sends.
    pub const REPLY: &str = "reply";
    /// `(buf, cap) -> i32`: what the instance before handed over; absent for the first. Only in `configure`.
    pub const STATE_READ: &str = "state_read";
    /// `(ptr, len) -> i32`: what the next instance can read with [`STATE_READ`]. Only in `hand_over`.
    pub const STATE_WRITE: &str = "state_write";
    /// `(body, mode, limit: i64, overflow) -> i32`: how a body hook wants its body, see [`crate::Mode`]. In `configure` for every
    /// exchange; in `request_head` (both bodies) and `response_head` (the response's) for this one.
    pub const BODY_MODE: &str = "body_mode";
    /// `(offset, buf, cap) -> i32`: the piece of the body at hand, from `offset`; returns how many bytes there are from there.
    pub const BODY_READ: &str = "body_read";
    /// `(ptr, len) -> i32`: puts these bytes in the place of the piece; none drop it.
    pub const BODY_REPLACE: &str = "body_replace";
    /// `(ptr, len) -> i32`: adds bytes behind the piece.
    pub const BODY_APPEND: &str = "body_append";
    /// `(name, name_len) -> i32`: the route that the exchange takes from here. Only in `request_head`.
    pub const ROUTE_SET: &str = "route_set";
    /// `(name, name_len) -> i32`: the upstream that the request goes to. Only before it was sent.
    pub const UPSTREAM_SET: &str = "upstream_set";
    /// `(milliseconds: i64) -> i32`: the timeout of the whole exchange, from its start; 0 for none. Only before it was sent.
    pub const TIMEOUT_SET: &str = "timeout_set";
    /// `(name, name_len, value, value_len) -> i32`: the value that limits with `key: plugin.NAME` count by. Only in `request_head`.
    pub const LIMIT_KEY_SET: &str = "limit_key_set";
    /// `(key, key_len, buf, cap) -> i32`: a value of the plugin's store, which all workers share.
    pub const STORE_GET: &str = "store_get";
    /// `(key, key_len, value, value_len, ttl: i64) -> i32`: sets a value, for `ttl` milliseconds; 0 for ever.
    pub const STORE_SET: &str = "store_set";
    /// `(key, key_len, old, old_len, new, new_len, ttl: i64) -> i32`: sets a value if it is `old` now, or absent where `old_len` is -1;
    /// [`crate::status::CONFLICT`] where it is not.
    pub const STORE_SWAP: &str = "store_swap";
    /// `(key, key_len, delta: i64, ttl: i64) -> i64`: adds to a number and returns it, or [`crate::ABSENT_NUMBER`] when that cannot be. An
    /// absent one counts as 0 and begins its `ttl`. [`STORE_GET`] reads it as eight bytes, little-endian.
    pub const STORE_INCREMENT: &str = "store_increment";
    /// `(key, key_len) -> i32`: removes a value.
    pub const STORE_REMOVE: &str = "store_remove";
    /// `(milliseconds: i64) -> i32`: starts a timer; returns its ticket, from 1.
    pub const SLEEP: &str = "sleep";
    /// `(ptr, len) -> i32`: starts an HTTP request to an upstream of the configuration; returns its ticket. See [`crate::Reader`].
    pub const CALL_OUT: &str = "call_out";
    /// `(ticket) -> i32`: the status of an answer, [`crate::status::FAILED`] where there is none to come, absent before.
    pub const ANSWER_STATUS: &str = "answer_status";
    /// `(ticket, part, buf, cap) -> i32`: a part of an answer, see [`crate::answer`]. Only while the hook is resumed with that ticket.
    pub const ANSWER_READ: &str = "answer_read";
}
