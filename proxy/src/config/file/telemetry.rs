//! `telemetry`: what leaves the proxy about the traffic.
//! It opens and sends nothing.

use std::time::Duration;

use http::Uri;
use schemars::{JsonSchema, Schema, SchemaGenerator};
use serde::{Deserialize, Serialize};

use super::{Named, route};
use crate::config::syntax::{Output, PathPrefix, Secret, Text, Time};
use crate::telemetry::config::LogInclude;

/// What leaves the proxy about the traffic.
#[derive(Clone, Debug, Default, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct TelemetryFile {
    /// What the telemetry is about: the resource.
    pub service: ServiceFile,
    /// Where traces and metrics are pushed to. Without it, nowhere.
    pub otlp: Option<OtlpFile>,
    /// Which traces are kept.
    pub traces: TracesFile,
    /// How metrics leave.
    pub metrics: MetricsFile,
    /// One line for each exchange.
    pub access_log: AccessLogFile,
}

/// What the telemetry is about.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct ServiceFile {
    /// `service.name`.
    #[schemars(length(min = 1), example = &"edge")]
    pub name: String,
    /// `service.namespace`.
    #[schemars(length(min = 1), example = &"prod")]
    pub namespace: Option<String>,
    /// More attributes of the resource, or others in the place of those that are sent anyway: `service.name`, `service.namespace`,
    /// `service.version`, and `service.instance.id`, a UUID that is new with each start.
    #[schemars(schema_with = "attributes")]
    pub attributes: Named<String>,
}

/// Where traces and metrics are pushed to.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct OtlpFile {
    /// The collector. For `http` this is the base: `/v1/traces` and `/v1/metrics` are added.
    #[schemars(example = &"http://tempo:4317")]
    pub endpoint: Text<Uri>,
    /// How to speak to it.
    #[serde(default)]
    pub protocol: OtlpProtocolFile,
    /// Sent with everything; for tokens. One with an empty value is not sent. Values are never shown.
    #[serde(default)]
    #[schemars(schema_with = "secret_headers")]
    pub headers: Named<Text<Secret>>,
    /// How long one push may take.
    #[serde(default = "ten_seconds")]
    #[schemars(example = &"10s")]
    pub timeout: Text<Time>,
}

/// How to speak to a collector.
#[derive(Clone, Copy, Debug, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum OtlpProtocolFile {
    /// gRPC, usually port 4317.
    #[default]
    Grpc,
    /// Protobuf over HTTP/1.1, usually port 4318.
    Http,
}

/// Which traces are kept, and how much may wait for the collector.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct TracesFile {
    /// The share of the traces that begin here which is kept.
    #[schemars(range(min = 0, max = 1), example = 0.1)]
    pub ratio: f64,
    /// Follow the decision of a caller that has made one.
    pub parent_based: bool,
    /// What is kept whatever the ratio says, once its outcome is known.
    pub always: AlwaysFile,
    /// Spans that may wait for the collector; what comes when it is full is dropped and counted.
    #[schemars(range(min = 1, max = 1_000_000), example = 8192)]
    pub queue: u32,
    /// How often waiting spans are sent.
    #[schemars(example = &"1s")]
    pub interval: Text<Time>,
}

/// What is kept whatever the ratio says.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct AlwaysFile {
    /// Exchanges that failed: status 5xx, or an error of any source.
    pub errors: bool,
    /// Exchanges that took longer.
    #[schemars(example = &"1s")]
    pub slower_than: Option<Text<Time>>,
}

/// How metrics leave.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct MetricsFile {
    /// Push them over OTLP too; on where `otlp` is given.
    pub otlp: Option<bool>,
    /// How often they are pushed.
    #[schemars(example = &"15s")]
    pub interval: Text<Time>,
    /// Where Prometheus can scrape them.
    pub scrape: Vec<ScrapeFile>,
}

/// A path that answers a scrape.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct ScrapeFile {
    /// `admin`, or the name of a listener; there it goes before every route.
    #[serde(default = "admin")]
    #[schemars(example = &"admin")]
    pub listener: String,
    /// The path, exactly.
    #[serde(default = "metrics_path")]
    #[schemars(example = &"/metrics")]
    pub path: Text<PathPrefix>,
}

/// One line for each exchange.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct AccessLogFile {
    /// How a line is written.
    pub format: LogFormatFile,
    /// Where lines go. A file is relative to the directory of the configuration.
    #[schemars(example = &"stdout", example = &"/var/log/tidegate/access.log", example = &"off")]
    pub output: Text<Output>,
    /// Headers to add to the line.
    #[schemars(example = ["request_header.user-agent", "response_header.content-type"])]
    pub include: Vec<Text<LogInclude>>,
    /// Fields that every line has, as the environment it comes from. Where a plugin sets one, the plugin's counts.
    #[schemars(schema_with = "attributes")]
    pub fields: Named<String>,
    /// Parameters of the query whose values are not written; case does not matter.
    #[schemars(example = ["token", "key", "password"])]
    pub redact_query: Vec<String>,
}

/// How a line is written.
#[derive(Clone, Copy, Debug, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum LogFormatFile {
    /// One JSON object.
    #[default]
    Json,
    /// `key=value` pairs.
    Logfmt,
    /// For people to read.
    Text,
}

fn ten_seconds() -> Text<Time> {
    Text(Time(Duration::from_secs(10)))
}

fn admin() -> String {
    "admin".to_owned()
}

fn metrics_path() -> Text<PathPrefix> {
    Text(PathPrefix("/metrics".into()))
}

fn secret_headers(generator: &mut SchemaGenerator) -> Schema {
    let mut schema = route::headers::<Secret>(generator);
    if let Some(values) = schema.get_mut("additionalProperties").and_then(|values| values.as_object_mut()) {
        values.insert("writeOnly".to_owned(), true.into());
    }
    schema
}

fn attributes(_: &mut SchemaGenerator) -> Schema {
    schemars::json_schema!({ "type": "object", "additionalProperties": { "type": "string" } })
}

impl Default for ServiceFile {
    fn default() -> Self {
        Self { name: "tidegate".to_owned(), namespace: None, attributes: Named::default() }
    }
}

impl Default for TracesFile {
    fn default() -> Self {
        Self {
            ratio: 1.0,
            parent_based: true,
            always: AlwaysFile::default(),
            queue: 8192,
            interval: Text(Time(Duration::from_secs(1))),
        }
    }
}

impl Default for AlwaysFile {
    fn default() -> Self {
        Self { errors: true, slower_than: None }
    }
}

impl Default for MetricsFile {
    fn default() -> Self {
        let scrape = vec![ScrapeFile { listener: admin(), path: metrics_path() }];
        Self { otlp: None, interval: Text(Time(Duration::from_secs(15))), scrape }
    }
}

impl Default for AccessLogFile {
    fn default() -> Self {
        Self {
            format: LogFormatFile::default(),
            output: Text(Output::Stdout),
            include: Vec::new(),
            fields: Named::default(),
            redact_query: crate::telemetry::config::REDACTED_QUERY.map(str::to_owned).into(),
        }
    }
}
