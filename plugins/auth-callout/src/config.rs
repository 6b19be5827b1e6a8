//! The configuration, and what is wrong with one.
//! It asks nobody.

use tidegate_sdk::prelude::*;
use tidegate_sdk::units::Time;

/// The configuration.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Config {
    /// The upstream that is asked, by its name.
    pub upstream: String,
    /// The path that is asked for, with a query if there is one.
    pub path: String,
    /// The method of the question.
    #[serde(default = "get")]
    pub method: String,
    /// Request headers that the service gets to see.
    #[serde(default = "credentials")]
    pub request_headers: Vec<String>,
    /// Headers of an answer that lets pass, which go on with the request.
    #[serde(default)]
    pub identity: Vec<Identity>,
    /// Until the service counts as failed.
    #[serde(default = "timeout")]
    pub timeout: Time,
    /// What becomes of a request when the service fails.
    #[serde(default)]
    pub on_failure: OnFailure,
    /// How answers that let pass are remembered.
    pub cache: Option<Cache>,
}

/// A header of the service's answer that says who it is.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Identity {
    /// In the answer, and in the request that goes on. The client's own is removed.
    pub header: String,
    /// A field of the log line that gets it too.
    pub log_field: Option<String>,
    /// An attribute of the span that gets it too.
    pub span_attribute: Option<String>,
}

/// What becomes of a request when the service fails.
#[derive(Clone, Copy, Debug, Default, Deserialize, PartialEq, Eq)]
#[serde(rename_all = "lowercase")]
pub enum OnFailure {
    /// It is answered with 503.
    #[default]
    Deny,
    /// It passes, with no identity.
    Allow,
}

/// How answers that let pass are remembered.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Cache {
    /// For how long; a shorter `max-age` of the answer counts.
    pub ttl: Time,
    /// Request headers by which an answer is found again, all of `request_headers` where nothing is said.
    pub key_headers: Option<Vec<String>>,
    /// What else it is found by.
    #[serde(default = "everything")]
    pub key: Vec<Part>,
}

/// What the service is told of a request, besides its headers.
#[derive(Clone, Copy, Debug, Deserialize, PartialEq, Eq)]
#[serde(rename_all = "lowercase")]
pub enum Part {
    Method,
    Scheme,
    Host,
    /// With the query.
    Path,
    /// The client's address.
    Client,
}

impl Config {
    /// Says what is wrong, by the key.
    ///
    /// # Errors
    /// The first thing that is.
    pub fn check(&self) -> Result<()> {
        let wrong = |key: &str, why: String| Err(Error::new(format_args!("config.{key}: {why}")));
        if self.upstream.is_empty() {
            return wrong("upstream", "the name of an upstream is missing".to_owned());
        }
        if !self.path.starts_with('/') || !self.path.bytes().all(|byte| byte.is_ascii_graphic()) {
            return wrong("path", format!("`{}` is no path: it begins with `/` and has no spaces", self.path));
        }
        if !is_token(&self.method) {
            return wrong("method", format!("`{}` is no method", self.method));
        }
        let key_headers = self.cache.iter().flat_map(|cache| cache.key_headers.iter().flatten());
        let headers = self.request_headers.iter().map(|header| ("request_headers", header));
        let headers = headers.chain(self.identity.iter().map(|identity| ("identity.header", &identity.header)));
        for (key, header) in headers.chain(key_headers.map(|header| ("cache.key_headers", header))) {
            if !is_token(header) {
                return wrong(key, format!("`{header}` is no name of a header"));
            }
            if key != "cache.key_headers" && FRAMING.iter().any(|framing| header.eq_ignore_ascii_case(framing)) {
                return wrong(key, format!("`{header}` belongs to one connection and cannot be passed on"));
            }
        }
        let hour = Duration::from_secs(3600);
        if self.timeout.0.is_zero() || self.timeout.0 > hour {
            return wrong("timeout", "it is 1ms to 1h".to_owned());
        }
        match &self.cache {
            Some(cache) if cache.ttl.0.is_zero() => wrong("cache.ttl", "it is at least 1ms".to_owned()),
            _ => Ok(()),
        }
    }
}

/// Headers that the proxy makes for each message on its own.
const FRAMING: [&str; 10] = [
    "connection",
    "content-length",
    "host",
    "http2-settings",
    "keep-alive",
    "proxy-connection",
    "te",
    "trailer",
    "transfer-encoding",
    "upgrade",
];

/// A token, as RFC 9110 (5.6.2) has it.
fn is_token(name: &str) -> bool {
    let token = |byte: u8| byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&byte);
    !name.is_empty() && name.len() <= 128 && name.bytes().all(token)
}

fn get() -> String {
    "GET".to_owned()
}

fn credentials() -> Vec<String> {
    ["authorization", "cookie"].map(str::to_owned).into()
}

const fn timeout() -> Time {
    Time(Duration::from_secs(2))
}

fn everything() -> Vec<Part> {
    vec![Part::Method, Part::Scheme, Part::Host, Part::Path, Part::Client]
}
