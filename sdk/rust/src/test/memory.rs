//! The host in memory: does for a test what the proxy does for a module, with the same refusals.
//! It runs no hook; what a test sees of it stands beside it.

use std::time::Duration;

use tidegate_abi::{
    ABSENT_NUMBER, Hook, Level, MetricKind, Number, Reader, SpanStatus, Text, headers, limits, series, status,
};

use super::Seen;
use super::platform::{Orders, Piece, Platform, Wish};
use crate::Reply;

/// Everything the host keeps.
#[derive(Debug, Default)]
pub(crate) struct Memory {
    pub config: Vec<u8>,
    pub hook: Option<Hook>,
    pub refusal: Option<String>,
    pub sets: Vec<(String, Vec<String>)>,
    pub metrics: Vec<Metric>,
    pub tick: Option<Duration>,
    pub lines: Vec<(Level, String)>,
    pub exchange: Option<Facts>,
    /// What a hook outside of an exchange is about.
    pub aside: Option<Aside>,
    pub platform: Platform,
}

/// What is known of a connection or an event.
#[derive(Clone, Debug, Default)]
pub(crate) struct Aside {
    pub texts: Vec<(Text, Vec<u8>)>,
    pub numbers: Vec<(Number, i64)>,
}

/// A metric and its series by number.
#[derive(Debug, PartialEq)]
pub(crate) struct Metric {
    pub kind: MetricKind,
    pub name: String,
    pub unit: String,
    pub help: String,
    pub sets: Vec<usize>,
    pub buckets: Vec<f64>,
    pub series: std::collections::BTreeMap<u32, Vec<f64>>,
}

/// What is known of the exchange that a hook runs for.
#[derive(Clone, Debug, Default)]
pub(crate) struct Facts {
    pub texts: Vec<(Text, Vec<u8>)>,
    pub numbers: Vec<(Number, i64)>,
    pub request: Map,
    pub response: Option<Map>,
    pub fields: Vec<(String, Seen)>,
    /// The first is the exchange's own.
    pub spans: Vec<SpanFacts>,
    pub reply: Option<Reply>,
    pub lines: Vec<(Level, String)>,
    pub request_trailers: Map,
    pub response_trailers: Map,
    /// The piece that a body hook is called with.
    pub piece: Option<Piece>,
    pub orders: Orders,
    /// How this exchange's bodies are wanted, where the plugin said so.
    pub wishes: [Option<Wish>; 2],
}

/// Headers, in order, names in lower case.
pub(crate) type Map = Vec<(String, Vec<u8>)>;

/// What became of a span.
#[derive(Clone, Debug, Default)]
pub(crate) struct SpanFacts {
    pub name: String,
    pub parent: Option<usize>,
    pub attributes: Vec<(String, Seen)>,
    pub events: Vec<String>,
    pub status: Option<(SpanStatus, String)>,
    pub ended: bool,
}

// === impl Memory: configuring ===

impl Memory {
    pub(crate) fn config_read(&self, buffer: &mut [u8]) -> i32 {
        give(buffer, &self.config)
    }

    pub(crate) fn refuse(&mut self, why: &str) {
        self.refusal = Some(why.to_owned());
    }

    pub(crate) fn define_label_set(&mut self, encoded: &[u8]) -> i32 {
        if self.hook != Some(Hook::Configure) {
            return status::STAGE;
        }
        let mut reader = Reader::new(encoded);
        let set = (|| {
            let name = reader.text().ok().filter(|name| is_label(name))?.to_owned();
            let count = reader.u32().ok()?;
            let values = (0..count).map(|_| reader.text().ok().filter(|value| value.len() <= limits::NAME));
            Some((name, values.map(|value| value.map(str::to_owned)).collect::<Option<Vec<_>>>()?))
        })();
        match set {
            Some(set) if set.1.len() <= limits::LABEL_VALUES => number(&mut self.sets, set, |a, b| a.0 == b.0),
            _ => status::INVALID,
        }
    }

    pub(crate) fn define_metric(&mut self, encoded: &[u8]) -> i32 {
        if self.hook != Some(Hook::Configure) {
            return status::STAGE;
        }
        match Metric::read(encoded).filter(|metric| metric.sets.iter().all(|&set| set < self.sets.len())) {
            Some(metric) => number(&mut self.metrics, metric, |a, b| a.name == b.name),
            None => status::INVALID,
        }
    }

    pub(crate) fn tick_every(&mut self, milliseconds: i64) -> i32 {
        match u64::try_from(milliseconds) {
            _ if self.hook != Some(Hook::Configure) => status::STAGE,
            Ok(interval @ 100..=3_600_000) => {
                self.tick = Some(Duration::from_millis(interval));
                status::OK
            }
            _ => status::INVALID,
        }
    }
}

// === impl Memory: metrics ===

impl Memory {
    pub(crate) fn metric_add(&mut self, metric: i32, series: i32, value: f64) -> i32 {
        self.update(metric, series, value, |kind, values| match kind {
            MetricKind::Counter if value < 0.0 => false,
            MetricKind::Histogram => false,
            _ => {
                let sum = values.first().copied().unwrap_or_default() + value;
                *values = vec![sum];
                true
            }
        })
    }

    pub(crate) fn metric_set(&mut self, metric: i32, series: i32, value: f64) -> i32 {
        self.update(metric, series, value, |kind, values| {
            *values = vec![value];
            kind == MetricKind::Gauge
        })
    }

    pub(crate) fn metric_record(&mut self, metric: i32, series: i32, value: f64) -> i32 {
        self.update(metric, series, value, |kind, values| {
            values.push(value);
            kind == MetricKind::Histogram
        })
    }

    fn update(
        &mut self,
        at: i32,
        series: i32,
        value: f64,
        change: impl FnOnce(MetricKind, &mut Vec<f64>) -> bool,
    ) -> i32 {
        if self.hook == Some(Hook::Configure) {
            return status::STAGE;
        }
        let metric = usize::try_from(at).ok().and_then(|at| self.metrics.get_mut(at));
        let Some(metric) = metric.filter(|_| value.is_finite()) else { return status::INVALID };
        let mut values = metric.series.get(&series.cast_unsigned()).cloned().unwrap_or_default();
        if !change(metric.kind, &mut values) {
            return status::INVALID;
        }
        metric.series.insert(series.cast_unsigned(), values);
        status::OK
    }

    /// The values of the series with these labels, for a test; `Err` says what the test got wrong.
    pub(crate) fn series(&self, kind: MetricKind, name: &str, labels: &[(&str, &str)]) -> Result<Vec<f64>, String> {
        let names = || self.metrics.iter().map(|metric| &*metric.name).collect::<Vec<_>>().join("`, `");
        let metric = self.metrics.iter().find(|metric| metric.name == name);
        let metric = metric.ok_or_else(|| format!("no metric `{name}` was defined, only `{}`", names()))?;
        if metric.kind != kind {
            return Err(format!("`{name}` is a {:?}, not a {kind:?}", metric.kind));
        }
        let sets: Vec<_> = metric.sets.iter().filter_map(|&set| self.sets.get(set)).collect();
        let wanted = || sets.iter().map(|(label, _)| &**label).collect::<Vec<_>>().join("`, `");
        if sets.len() != labels.len() {
            return Err(format!("`{name}` has the labels `{}`", wanted()));
        }
        let mut numbered = Vec::new();
        for (label, values) in sets.iter().copied() {
            let value = labels.iter().find(|(name, _)| name == label).map(|(_, value)| *value);
            let value = value.ok_or_else(|| format!("`{name}` has the labels `{}`", wanted()))?;
            let index = values.iter().position(|known| known == value);
            if index.is_none() && value != crate::label::OTHER {
                return Err(format!(
                    "the label `{label}` never is `{value}`, only `{}` or `other`",
                    values.join("`, `")
                ));
            }
            let count = u32::try_from(values.len()).unwrap_or(u32::MAX);
            numbered.push((index.and_then(|index| u32::try_from(index).ok()).unwrap_or(count), count));
        }
        Ok(metric.series.get(&series(&numbered)).cloned().unwrap_or_default())
    }
}

// === impl Memory: log and spans ===

impl Memory {
    pub(crate) fn log_field_text(&mut self, key: &str, value: &[u8]) -> i32 {
        self.field(key, Seen::text(value))
    }

    pub(crate) fn log_field_int(&mut self, key: &str, value: i64) -> i32 {
        self.field(key, Seen::Int(value))
    }

    pub(crate) fn log_field_float(&mut self, key: &str, value: f64) -> i32 {
        self.field(key, Seen::Float(value))
    }

    pub(crate) fn log_field_bool(&mut self, key: &str, value: i32) -> i32 {
        self.field(key, Seen::Bool(value != 0))
    }

    pub(crate) fn log_line(&mut self, level: i32, line: &[u8]) -> i32 {
        let Some(level) = Level::from_i32(level) else { return status::INVALID };
        let line = (level, String::from_utf8_lossy(line).into_owned());
        if let Some(exchange) = &mut self.exchange {
            exchange.lines.push(line.clone());
        }
        self.lines.push(line);
        status::OK
    }

    pub(crate) fn span_start(&mut self, parent: i32, name: &str) -> i32 {
        let Some(exchange) = &mut self.exchange else { return status::STAGE };
        let parent = usize::try_from(parent).ok().filter(|&parent| parent < exchange.spans.len());
        if parent.is_none() || name.is_empty() {
            return status::INVALID;
        }
        exchange.spans.push(SpanFacts { name: name.to_owned(), parent, ..SpanFacts::default() });
        i32::try_from(exchange.spans.len() - 1).unwrap_or(status::BUDGET)
    }

    pub(crate) fn span_end(&mut self, span: i32) -> i32 {
        self.span(span, |span| span.ended = true)
    }

    pub(crate) fn span_attribute_text(&mut self, span: i32, key: &str, value: &[u8]) -> i32 {
        self.attribute(span, key, Seen::text(value))
    }

    pub(crate) fn span_attribute_int(&mut self, span: i32, key: &str, value: i64) -> i32 {
        self.attribute(span, key, Seen::Int(value))
    }

    pub(crate) fn span_attribute_float(&mut self, span: i32, key: &str, value: f64) -> i32 {
        self.attribute(span, key, Seen::Float(value))
    }

    pub(crate) fn span_attribute_bool(&mut self, span: i32, key: &str, value: i32) -> i32 {
        self.attribute(span, key, Seen::Bool(value != 0))
    }

    pub(crate) fn span_event(&mut self, span: i32, name: &str) -> i32 {
        self.span(span, |span| span.events.push(name.to_owned()))
    }

    pub(crate) fn span_status(&mut self, span: i32, code: i32, message: &str) -> i32 {
        let Some(code) = SpanStatus::from_i32(code) else { return status::INVALID };
        self.span(span, |span| span.status = Some((code, message.to_owned())))
    }

    fn field(&mut self, key: &str, value: Seen) -> i32 {
        match &mut self.exchange {
            None => status::STAGE,
            Some(_) if !is_key(key) => status::INVALID,
            Some(exchange) => put(&mut exchange.fields, key, value),
        }
    }

    fn attribute(&mut self, span: i32, key: &str, value: Seen) -> i32 {
        if !is_key(key) {
            return status::INVALID;
        }
        self.span(span, |span| _ = put(&mut span.attributes, key, value))
    }

    fn span(&mut self, span: i32, change: impl FnOnce(&mut SpanFacts)) -> i32 {
        let Some(exchange) = &mut self.exchange else { return status::STAGE };
        match usize::try_from(span).ok().and_then(|span| exchange.spans.get_mut(span)) {
            Some(span) => {
                change(span);
                status::OK
            }
            None => status::INVALID,
        }
    }
}

// === impl Memory: the exchange ===

impl Memory {
    pub(crate) fn header_read(&self, map: i32, name: &str, index: i32, buffer: &mut [u8]) -> i32 {
        let map = match self.map(map) {
            Ok(map) => map,
            Err(status) => return status,
        };
        let mut values = map.iter().filter(|(known, _)| known.eq_ignore_ascii_case(name));
        let value = usize::try_from(index).ok().and_then(|index| values.nth(index));
        value.map_or(status::ABSENT, |(_, value)| give(buffer, value))
    }

    pub(crate) fn headers_read(&self, map: i32, buffer: &mut [u8]) -> i32 {
        let map = match self.map(map) {
            Ok(map) => map,
            Err(status) => return status,
        };
        let mut encoded = Vec::new();
        for (name, value) in map {
            crate::define::put_bytes(&mut encoded, name.as_bytes());
            crate::define::put_bytes(&mut encoded, value);
        }
        give(buffer, &encoded)
    }

    pub(crate) fn header_set(&mut self, map: i32, name: &str, value: &[u8]) -> i32 {
        self.change(map, name, value, |map, name, value| {
            map.retain(|(known, _)| *known != name);
            map.push((name, value));
            status::OK
        })
    }

    pub(crate) fn header_add(&mut self, map: i32, name: &str, value: &[u8]) -> i32 {
        self.change(map, name, value, |map, name, value| {
            map.push((name, value));
            status::OK
        })
    }

    pub(crate) fn header_remove(&mut self, map: i32, name: &str) -> i32 {
        self.change(map, name, b"", |map, name, _| {
            let before = map.len();
            map.retain(|(known, _)| *known != name);
            i32::try_from(before - map.len()).unwrap_or(i32::MAX)
        })
    }

    pub(crate) fn text_read(&self, property: i32, buffer: &mut [u8]) -> i32 {
        let Some(property) = Text::from_i32(property) else { return status::INVALID };
        if property == Text::PluginName {
            return give(buffer, b"test");
        }
        let texts = match (&self.exchange, &self.aside) {
            (Some(exchange), _) => &exchange.texts,
            (None, Some(aside)) => &aside.texts,
            (None, None) => return status::STAGE,
        };
        let value = texts.iter().rev().find(|(known, _)| *known == property);
        value.map_or(status::ABSENT, |(_, value)| give(buffer, value))
    }

    pub(crate) fn number_read(&self, property: i32) -> i64 {
        let numbers = match (&self.exchange, &self.aside) {
            (Some(exchange), _) => match (&exchange.piece, Number::from_i32(property)) {
                (Some(piece), Some(Number::PieceBytes)) => return i64::try_from(piece.bytes.len()).unwrap_or(i64::MAX),
                (Some(piece), Some(Number::PieceIsLast)) => return piece.is_last.into(),
                _ => &exchange.numbers,
            },
            (None, Some(aside)) => &aside.numbers,
            (None, None) => return ABSENT_NUMBER,
        };
        let value = numbers.iter().rev().find(|(known, _)| *known as i32 == property);
        value.map_or(ABSENT_NUMBER, |(_, value)| *value)
    }

    pub(crate) fn correlation_set(&mut self, id: &str, header: &str) -> i32 {
        let hook = self.hook;
        let Some(exchange) = self.exchange.as_mut().filter(|_| hook == Some(Hook::RequestHead)) else {
            return status::STAGE;
        };
        let fits = !id.is_empty() && id.len() <= limits::NAME && id.bytes().all(|byte| byte.is_ascii_graphic());
        if !fits || (!header.is_empty() && !is_header(header, id.as_bytes())) {
            return status::INVALID;
        }
        exchange.texts.push((Text::CorrelationId, id.into()));
        if !header.is_empty() {
            exchange.texts.push((Text::CorrelationHeader, header.to_ascii_lowercase().into()));
        }
        status::OK
    }

    pub(crate) fn reply(&mut self, code: i32, headers: &[u8], body: &[u8]) -> i32 {
        if self.platform.is_denied("reply") {
            return status::DENIED;
        }
        let hook = self.hook;
        let Some(exchange) = &mut self.exchange else { return status::STAGE };
        if !hook.is_some_and(|hook| hook.takes_reply(exchange.holds_head())) {
            return status::STAGE;
        }
        let Some(status) = u16::try_from(code).ok().filter(|code| (200..=599).contains(code)) else {
            return status::INVALID;
        };
        let (mut reader, mut map) = (Reader::new(headers), Vec::new());
        while let (Ok(name), Ok(value)) = (reader.text(), reader.bytes()) {
            if !is_header(name, value) {
                return status::INVALID;
            }
            map.push((name.to_ascii_lowercase(), value.to_vec()));
        }
        exchange.reply = Some(Reply { status, headers: map, body: body.to_vec() });
        status::OK
    }

    fn map(&self, map: i32) -> Result<&Map, i32> {
        let exchange = self.exchange.as_ref().ok_or(status::STAGE)?;
        match map {
            headers::REQUEST => Ok(&exchange.request),
            headers::RESPONSE => exchange.response.as_ref().ok_or(status::ABSENT),
            headers::REQUEST_TRAILERS if self.hook == Some(Hook::RequestTrailers) => Ok(&exchange.request_trailers),
            headers::RESPONSE_TRAILERS if self.hook == Some(Hook::ResponseTrailers) => Ok(&exchange.response_trailers),
            headers::REQUEST_TRAILERS | headers::RESPONSE_TRAILERS => Err(status::STAGE),
            _ => Err(status::INVALID),
        }
    }

    fn change(
        &mut self,
        map: i32,
        name: &str,
        value: &[u8],
        change: impl FnOnce(&mut Map, String, Vec<u8>) -> i32,
    ) -> i32 {
        if !is_header(name, value) {
            return status::INVALID;
        }
        if self.platform.is_denied("headers") {
            return status::DENIED;
        }
        let hook = self.hook;
        let Some(exchange) = &mut self.exchange else { return status::STAGE };
        let held = exchange.holds_head();
        let map = match (map, hook) {
            (headers::REQUEST, Some(Hook::RequestHead | Hook::UpstreamChosen)) => &mut exchange.request,
            (headers::REQUEST, Some(Hook::RequestBody)) if held => &mut exchange.request,
            (headers::RESPONSE, Some(Hook::ResponseHead)) => exchange.response.get_or_insert_default(),
            (headers::RESPONSE, Some(Hook::ResponseBody)) if held => exchange.response.get_or_insert_default(),
            (headers::REQUEST_TRAILERS, Some(Hook::RequestTrailers)) => &mut exchange.request_trailers,
            (headers::RESPONSE_TRAILERS, Some(Hook::ResponseTrailers)) => &mut exchange.response_trailers,
            _ => return status::STAGE,
        };
        change(map, name.to_ascii_lowercase(), value.to_vec())
    }
}

// === impl Facts ===

impl Facts {
    /// Whether the head of the message whose body is at hand still waits.
    pub(crate) fn holds_head(&self) -> bool {
        self.piece.as_ref().is_some_and(|piece| piece.holds_head)
    }
}

// === impl Metric ===

impl Metric {
    fn read(encoded: &[u8]) -> Option<Self> {
        let mut reader = Reader::new(encoded);
        let kind = MetricKind::from_u32(reader.u32().ok()?)?;
        let name = reader.text().ok().filter(|name| is_metric(name))?.to_owned();
        let (unit, help) = (reader.text().ok()?.to_owned(), reader.text().ok()?.to_owned());
        let count = reader.u32().ok()?;
        let sets: Vec<_> = (0..count).map(|_| reader.u32().ok().map(|set| set as usize)).collect::<Option<_>>()?;
        let count = reader.u32().ok()?;
        let buckets: Vec<_> = (0..count).map(|_| reader.f64().ok()).collect::<Option<_>>()?;
        let rising = buckets.windows(2).all(|pair| matches!(pair, [a, b] if a < b));
        let distinct = (1..sets.len()).all(|end| sets.iter().take(end).all(|set| Some(set) != sets.get(end)));
        let fits = rising && distinct && sets.len() <= limits::LABELS && buckets.len() <= limits::BUCKETS;
        fits.then(|| Self { kind, name, unit, help, sets, buckets, series: Default::default() })
    }
}

/// Writes what fits of a value. Returns the value's full length.
pub(crate) fn give(buffer: &mut [u8], value: &[u8]) -> i32 {
    buffer.iter_mut().zip(value).for_each(|(to, from)| *to = *from);
    i32::try_from(value.len()).unwrap_or(i32::MAX)
}

/// The number of `item`: of the equal one that is there, or a new one.
fn number<T: PartialEq>(items: &mut Vec<T>, item: T, same_name: impl Fn(&T, &T) -> bool) -> i32 {
    let at = match items.iter().position(|other| same_name(other, &item)) {
        Some(at) if items.get(at) == Some(&item) => at,
        Some(_) => return status::CONFLICT,
        None => {
            items.push(item);
            items.len() - 1
        }
    };
    i32::try_from(at).unwrap_or(status::BUDGET)
}

fn put(all: &mut Vec<(String, Seen)>, key: &str, value: Seen) -> i32 {
    match all.iter_mut().find(|(known, _)| known == key) {
        Some((_, known)) => *known = value,
        None => all.push((key.to_owned(), value)),
    }
    status::OK
}

fn is_key(key: &str) -> bool {
    let word = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'.' | b'-');
    !key.is_empty() && key.len() <= limits::NAME && key.bytes().all(word)
}

fn is_label(name: &str) -> bool {
    is_metric(name) && !matches!(name, "plugin" | "le" | "quantile")
}

fn is_metric(name: &str) -> bool {
    let word = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'.');
    let starts = |byte: u8| byte.is_ascii_alphabetic() || byte == b'_';
    name.len() <= limits::NAME
        && name.bytes().next().is_some_and(starts)
        && name.bytes().all(word)
        && !name.starts_with("__")
}

/// Whether a plugin may set this: a valid header that frames nothing.
pub(crate) fn is_header(name: &str, value: &[u8]) -> bool {
    let framing = ["content-length", "transfer-encoding", "connection", "upgrade", "te", "trailer", "keep-alive"];
    let token = |byte: u8| byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&byte);
    !name.is_empty()
        && name.bytes().all(token)
        && value.iter().all(|&byte| byte == b'\t' || (byte >= b' ' && byte != 0x7f))
        && !framing.iter().any(|framing| name.eq_ignore_ascii_case(framing))
}
