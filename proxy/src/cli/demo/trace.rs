//! A trace as a tree of lines, from spans as they came over OTLP.
//! It does not know how they came.

use opentelemetry_proto::tonic::common::v1::any_value::Value;
use opentelemetry_proto::tonic::trace::v1::Span;
use opentelemetry_proto::tonic::trace::v1::span::SpanKind;

/// Spans below spans below spans: deeper is not drawn.
const DEEPEST: usize = 8;

/// A server span with all below it.
#[derive(Clone, Debug)]
pub(super) struct Trace {
    root: Span,
    /// In the order of their beginning.
    below: Vec<Span>,
}

/// What spans of a batch say about their order.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Kinds {
    pub(super) server: u64,
    /// Of a plugin, with its parent a server span of the same trace.
    pub(super) plugin: u64,
    /// An attempt, with its parent a server span of the same trace.
    pub(super) client: u64,
}

impl Kinds {
    pub(super) fn of(spans: &[Span]) -> Self {
        let mut kinds = Self::default();
        let is_server = |span: &&Span| span.kind() == SpanKind::Server;
        let under_server = |span: &Span| spans.iter().filter(is_server).any(|server| is_child(span, server));
        for span in spans {
            match span.kind() {
                SpanKind::Server => kinds.server += 1,
                SpanKind::Client if under_server(span) => kinds.client += 1,
                _ if plugin(span).is_some() && under_server(span) => kinds.plugin += 1,
                _ => {}
            }
        }
        kinds
    }
}

impl Trace {
    /// The last trace that shows all there is to see: a plugin's span and an attempt under the server's.
    pub(super) fn latest(spans: &[Span]) -> Option<Self> {
        let servers = spans.iter().rev().filter(|span| span.kind() == SpanKind::Server);
        servers.map(|root| Self::of(root, spans)).find(|trace| {
            let children = || trace.below.iter().filter(|span| is_child(span, &trace.root));
            children().any(|span| plugin(span).is_some()) && children().any(|span| span.kind() == SpanKind::Client)
        })
    }

    fn of(root: &Span, spans: &[Span]) -> Self {
        let same = |span: &&Span| span.trace_id == root.trace_id && span.span_id != root.span_id;
        let mut below: Vec<_> = spans.iter().filter(same).cloned().collect();
        below.sort_by_key(|span| span.start_time_unix_nano);
        Self { root: root.clone(), below }
    }

    /// The tree, the server span first.
    pub(super) fn lines(&self) -> Vec<String> {
        let id = hex(&self.root.trace_id);
        let short = format!("{}…{}", id.get(..4).unwrap_or_default(), id.get(28..).unwrap_or_default());
        let mut rows = vec![(format!("trace {short}   {}", self.root.name), figures(&self.root))];
        self.push(&self.root, "  ", &mut rows, 0);
        let width = rows.iter().skip(1).map(|(name, _)| name.chars().count()).max().unwrap_or_default();
        let line = |(number, (name, figures)): (usize, (String, String))| match number {
            0 => format!("{name}  {}", figures.trim_start()),
            _ => format!("{name:width$}  {figures}"),
        };
        rows.into_iter().enumerate().map(line).collect()
    }

    fn push(&self, parent: &Span, indent: &str, rows: &mut Vec<(String, String)>, depth: usize) {
        let mut children = self.below.iter().filter(|span| is_child(span, parent)).peekable();
        while let Some(child) = children.next() {
            let (branch, below) = if children.peek().is_some() { ("├─", "│  ") } else { ("└─", "   ") };
            rows.push((format!("{indent}{branch} {}", title(child)), figures(child)));
            if depth < DEEPEST {
                self.push(child, &format!("{indent}{below}"), rows, depth + 1);
            }
        }
    }
}

fn is_child(span: &Span, parent: &Span) -> bool {
    span.trace_id == parent.trace_id && span.parent_span_id == parent.span_id
}

fn title(span: &Span) -> String {
    if let Some(plugin) = plugin(span) {
        return format!("{plugin}: {}", span.name);
    }
    if span.kind() != SpanKind::Client {
        return span.name.clone();
    }
    // The convention counts resends, so the first attempt has none.
    let attempt = attribute(span, "http.request.resend_count").and_then(|text| text.parse::<u64>().ok()).unwrap_or(0);
    let endpoint = [attribute(span, "server.address"), attribute(span, "server.port")];
    let endpoint = endpoint.into_iter().flatten().collect::<Vec<_>>().join(":");
    format!("{}  (attempt {}, {endpoint})", span.name, attempt + 1)
}

/// The time that it took, and what is worth to know of it.
fn figures(span: &Span) -> String {
    let nanoseconds = span.end_time_unix_nano.saturating_sub(span.start_time_unix_nano);
    let mut text = format!("{:>5.1} ms", nanoseconds as f64 / 1e6);
    let status = attribute(span, "http.response.status_code").or_else(|| attribute(span, "error.type"));
    if let Some(status) = status {
        text.push_str(&format!("  {status}"));
    }
    if plugin(span).is_some() {
        let own = span.attributes.iter().filter(|attribute| !attribute.key.starts_with("tidegate."));
        for attribute in own {
            let value = attribute.value.as_ref().and_then(|value| value.value.as_ref()).map(show);
            text.push_str(&format!("  {}={}", attribute.key, value.unwrap_or_default()));
        }
    }
    text
}

fn plugin(span: &Span) -> Option<String> {
    attribute(span, "tidegate.plugin")
}

fn attribute(span: &Span, key: &str) -> Option<String> {
    let found = span.attributes.iter().find(|attribute| attribute.key == key)?;
    found.value.as_ref()?.value.as_ref().map(show)
}

fn show(value: &Value) -> String {
    match value {
        Value::StringValue(text) => text.clone(),
        Value::BoolValue(truth) => truth.to_string(),
        Value::IntValue(number) => number.to_string(),
        Value::DoubleValue(number) => number.to_string(),
        _ => "…".to_owned(),
    }
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

#[cfg(test)]
mod tests;
