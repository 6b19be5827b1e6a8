//! What leaves the proxy and how, after every check.
//! It opens and sends nothing.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use http::Uri;
use http::header::{HeaderName, HeaderValue};

/// What leaves the proxy.
#[derive(Clone, Debug, PartialEq)]
pub struct Telemetry {
    pub service: Service,
    pub otlp: Option<Otlp>,
    pub traces: Traces,
    pub metrics: Metrics,
    pub access_log: Option<AccessLog>,
}

/// The resource that telemetry is about.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Service {
    pub name: Arc<str>,
    pub namespace: Option<Arc<str>>,
    /// More resource attributes.
    pub attributes: Vec<(Arc<str>, Arc<str>)>,
}

/// Where OTLP goes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Otlp {
    /// The base: `/v1/traces` and `/v1/metrics` are added for HTTP.
    pub endpoint: Uri,
    pub protocol: OtlpProtocol,
    pub headers: Vec<(HeaderName, HeaderValue)>,
    pub timeout: Duration,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum OtlpProtocol {
    Grpc,
    HttpProtobuf,
}

/// Which traces are kept, and how much may wait for the collector.
#[derive(Clone, Debug, PartialEq)]
pub struct Traces {
    /// 0 to 1: the share of traces that begin here.
    pub ratio: f64,
    /// Follow the caller's decision where there is one.
    pub parent_based: bool,
    /// Keep every exchange that failed (status 5xx, or an error of any source).
    pub always_errors: bool,
    /// Keep every exchange that took longer.
    pub always_slower_than: Option<Duration>,
    /// Spans that wait for the collector; what comes when it is full is dropped and counted.
    pub queue: usize,
    /// How often waiting spans are sent.
    pub interval: Duration,
}

/// How metrics leave.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Metrics {
    /// Push over OTLP too.
    pub otlp: bool,
    pub interval: Duration,
    pub scrape: Vec<Scrape>,
}

/// A path that answers a scrape.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Scrape {
    /// `None` is the admin port, else an index into the configured listeners.
    pub listener: Option<usize>,
    pub path: Arc<str>,
}

/// Query parameters that are redacted where nothing else is said, in spans also where there is no access log.
pub const REDACTED_QUERY: [&str; 6] = ["access_token", "api_key", "key", "password", "secret", "token"];

/// One line for each exchange.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AccessLog {
    pub format: LogFormat,
    pub output: LogOutput,
    /// Headers to add, as `request_header.<name>` and `response_header.<name>`.
    pub include: Vec<LogInclude>,
    /// What every line has.
    pub fields: Vec<(Arc<str>, Arc<str>)>,
    /// Query parameters whose value is not written, here and in spans; compared without case.
    pub redact_query: Vec<Arc<str>>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LogFormat {
    Json,
    Logfmt,
    Text,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum LogOutput {
    Stdout,
    File(PathBuf),
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum LogInclude {
    RequestHeader(HeaderName),
    ResponseHeader(HeaderName),
}
