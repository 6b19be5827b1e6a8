//! The attributes of the server span and the client spans, by OpenTelemetry's HTTP conventions and our own.
//! It does not know parents or times.
//!
//! <https://opentelemetry.io/docs/specs/semconv/http/http-spans/>

use http::{Method, Version};
use opentelemetry::{KeyValue, Value};

use super::trail::{Trail, with_query};
use crate::telemetry::record::{self, Attempt, CallOut};

/// What a method that is not known is called.
const OTHER: &str = "_OTHER";

/// Of the exchange's own span.
pub(super) fn server(trail: &Trail) -> Vec<KeyValue> {
    let mut all = Vec::with_capacity(24);
    method(&trail.method, &mut all);
    let mut text = |key: &'static str, value: &str| all.push(KeyValue::new(key, value.to_owned()));
    text("url.scheme", if trail.https { "https" } else { "http" });
    text("url.path", &trail.path);
    if let Some(query) = &trail.query {
        text("url.query", query);
    }
    text("network.protocol.version", version(trail.version));
    text("client.address", &trail.client.to_string());
    text("network.peer.address", &trail.peer.ip().to_string());
    text("tidegate.correlation_id", &trail.correlation);
    text("tidegate.listener", &trail.listener);
    if !trail.host.is_empty() {
        text("server.address", &trail.host);
    }
    if let Some(agent) = &trail.user_agent {
        text("user_agent.original", agent);
    }
    if let Some(route) = &trail.route {
        text("http.route", &route.template);
        text("tidegate.route", &route.name);
        text("tidegate.upstream", &route.upstream);
    }
    if let Some(reason) = trail.error {
        text("error.type", reason.as_str());
        text("tidegate.error.source", reason.source().as_str());
    } else if let Some(status) = trail.status.filter(|status| status.is_server_error()) {
        text("error.type", status.as_str());
    }
    if let Some(breaker) = trail.breaker {
        text("tidegate.breaker.decision", breaker.as_str());
    }
    for (limit, allowed) in &trail.limits {
        let decision = if *allowed { "allowed" } else { "limited" };
        all.push(KeyValue::new(format!("tidegate.limit.{limit}"), decision));
    }
    let mut number = |key: &'static str, value: i64| all.push(KeyValue::new(key, value));
    if !trail.host.is_empty() {
        number("server.port", trail.port.unwrap_or(if trail.https { 443 } else { 80 }).into());
    }
    number("network.peer.port", trail.peer.port().into());
    if let Some(status) = trail.status {
        number("http.response.status_code", status.as_u16().into());
    }
    if trail.websocket {
        number("tidegate.websocket.received", size(trail.request_bytes));
        number("tidegate.websocket.transmitted", size(trail.response_bytes));
    } else {
        number("http.request.body.size", size(trail.request_bytes));
        number("http.response.body.size", size(trail.response_bytes));
    }
    all
}

/// Of the span of one attempt; `resend` counts from 0.
pub(super) fn client(trail: &Trail, attempt: &Attempt, resend: usize) -> Vec<KeyValue> {
    let mut all = Vec::with_capacity(12);
    method(&trail.method, &mut all);
    server_of(&attempt.endpoint, &mut all);
    let target = match &trail.sent {
        Some(sent) => String::from(&**sent),
        None => with_query(&trail.path, trail.query.as_deref()),
    };
    all.push(url(attempt.https, &attempt.endpoint, &target));
    if let Some(used) = attempt.version {
        all.push(KeyValue::new("network.protocol.version", version(used)));
    }
    if let Some(status) = attempt.status {
        all.push(KeyValue::new("http.response.status_code", i64::from(status.as_u16())));
    }
    if resend > 0 {
        all.push(KeyValue::new("http.request.resend_count", i64::try_from(resend).unwrap_or(i64::MAX)));
    }
    if let Some(error) = attempt_error(attempt) {
        all.push(KeyValue::new("error.type", error));
    }
    if let Some(route) = &trail.route {
        all.push(KeyValue::new("tidegate.upstream", route.upstream.to_string()));
    }
    all.push(KeyValue::new("tidegate.connection.reused", attempt.reused));
    all
}

/// What the attempt's failure is called; to whoever asks, a 4xx is one too.
pub(super) fn attempt_error(attempt: &Attempt) -> Option<String> {
    let refused = attempt.status.filter(|status| status.is_client_error() || status.is_server_error());
    attempt.error.map(|reason| reason.as_str().to_owned()).or_else(|| refused.map(|status| status.as_str().to_owned()))
}

/// Of the span of a plugin's own request.
pub(super) fn call_out(call: &CallOut) -> Vec<KeyValue> {
    let mut all = Vec::with_capacity(8);
    method(&call.method, &mut all);
    if let Some(endpoint) = &call.endpoint {
        server_of(endpoint, &mut all);
        all.push(url(call.https, endpoint, &with_query(&call.path, call.query.as_deref())));
    }
    all.push(KeyValue::new("url.path", String::from(&*call.path)));
    if let Some(Ok(status)) = call.outcome {
        all.push(KeyValue::new("http.response.status_code", i64::from(status.as_u16())));
    }
    if let Some(error) = call_out_error(call) {
        all.push(KeyValue::new("error.type", error));
    }
    all.push(KeyValue::new("tidegate.plugin", call.plugin.to_string()));
    all.push(KeyValue::new("tidegate.upstream", call.upstream.to_string()));
    all
}

/// What a call-out's failure is called; one that was given up is `cancelled`.
pub(super) fn call_out_error(call: &CallOut) -> Option<String> {
    match call.outcome {
        None => Some("cancelled".to_owned()),
        Some(Err(reason)) => Some(reason.as_str().to_owned()),
        Some(Ok(status)) => (status.is_client_error() || status.is_server_error()).then(|| status.as_str().to_owned()),
    }
}

/// As it was asked for there.
fn url(https: bool, endpoint: &str, target: &str) -> KeyValue {
    KeyValue::new("url.full", format!("{}://{endpoint}{target}", if https { "https" } else { "http" }))
}

fn server_of(endpoint: &str, all: &mut Vec<KeyValue>) {
    let (host, port) = endpoint.rsplit_once(':').unwrap_or((endpoint, ""));
    all.push(KeyValue::new("server.address", host.trim_start_matches('[').trim_end_matches(']').to_owned()));
    if let Ok(port) = port.parse::<u16>() {
        all.push(KeyValue::new("server.port", i64::from(port)));
    }
}

/// What a span of this method is called before its route.
pub(super) fn method_name(method: &Method) -> &str {
    // The convention's word where the method is not known.
    if known(method) { method.as_str() } else { "HTTP" }
}

/// What a plugin gave.
pub(super) fn plugin(attributes: Vec<(Box<str>, record::Value)>) -> impl Iterator<Item = KeyValue> {
    attributes.into_iter().map(|(key, value)| {
        let value = match value {
            record::Value::Text(text) => Value::from(String::from(text)),
            record::Value::Int(number) => Value::from(number),
            record::Value::Float(number) => Value::from(number),
            record::Value::Bool(truth) => Value::from(truth),
        };
        KeyValue::new(String::from(key), value)
    })
}

fn method(method: &Method, all: &mut Vec<KeyValue>) {
    if known(method) {
        all.push(KeyValue::new("http.request.method", method.to_string()));
    } else {
        all.push(KeyValue::new("http.request.method", OTHER));
        all.push(KeyValue::new("http.request.method_original", method.to_string()));
    }
}

fn known(method: &Method) -> bool {
    matches!(
        *method,
        Method::GET
            | Method::HEAD
            | Method::POST
            | Method::PUT
            | Method::DELETE
            | Method::CONNECT
            | Method::OPTIONS
            | Method::TRACE
            | Method::PATCH
    )
}

fn version(version: Version) -> &'static str {
    match version {
        Version::HTTP_09 => "0.9",
        Version::HTTP_10 => "1.0",
        Version::HTTP_2 => "2",
        Version::HTTP_3 => "3",
        _ => "1.1",
    }
}

fn size(bytes: u64) -> i64 {
    i64::try_from(bytes).unwrap_or(i64::MAX)
}
