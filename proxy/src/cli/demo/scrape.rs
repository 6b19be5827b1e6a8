//! Reads the proxy's metrics as Prometheus does: over HTTP, in the text format.
//! It does not know what the metrics mean.

use std::io;
use std::net::SocketAddr;
use std::time::Duration;

use bytes::Bytes;
use http::header::HOST;
use http::{Request, StatusCode};
use http_body_util::{BodyExt as _, Full, Limited};
use tokio::time::timeout;

use super::socket;

/// Beyond this, something is wrong.
const LARGEST: usize = 16 << 20;
const LONGEST: Duration = Duration::from_secs(2);

/// What one scrape said.
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct Samples(Vec<Sample>);

#[derive(Clone, Debug, PartialEq)]
pub(super) struct Sample {
    name: String,
    labels: Vec<(String, String)>,
    pub(super) value: f64,
}

/// Scrapes the admin port.
pub(super) async fn fetch(admin: SocketAddr) -> io::Result<Samples> {
    timeout(LONGEST, get(admin)).await.map_err(io::Error::other)?
}

async fn get(admin: SocketAddr) -> io::Result<Samples> {
    let mut sender = socket::connect(admin).await?;
    let request = Request::get("/metrics").header(HOST, admin.to_string()).body(Full::<Bytes>::default());
    let response = sender.send_request(request.map_err(io::Error::other)?).await.map_err(io::Error::other)?;
    if response.status() != StatusCode::OK {
        return Err(io::Error::other(response.status().to_string()));
    }
    let body = Limited::new(response.into_body(), LARGEST).collect().await.map_err(io::Error::other)?;
    Ok(Samples::parse(&String::from_utf8_lossy(&body.to_bytes())))
}

// === impl Samples ===

impl Samples {
    pub(super) fn parse(text: &str) -> Self {
        let lines = text.lines().filter(|line| !line.starts_with('#'));
        Self(lines.filter_map(Sample::parse).collect())
    }

    /// All samples of this name.
    pub(super) fn named<'a>(&'a self, name: &'a str) -> impl Iterator<Item = &'a Sample> {
        self.0.iter().filter(move |sample| sample.name == name)
    }

    /// The sum over all samples of this name that have this label; over all of them without one.
    pub(super) fn sum(&self, name: &str, label: Option<(&str, &str)>) -> f64 {
        let matches = |sample: &&Sample| label.is_none_or(|(label, value)| sample.label(label) == Some(value));
        // `sum` of nothing is -0, and is shown so.
        self.named(name).filter(matches).map(|sample| sample.value).fold(0.0, |sum, value| sum + value)
    }
}

// === impl Sample ===

impl Sample {
    /// `name{label="value",…} 1`; what follows the value, a time or an exemplar, is not read.
    fn parse(line: &str) -> Option<Self> {
        let end = line.find(['{', ' '])?;
        let (name, rest) = line.split_at(end);
        let mut labels = Vec::new();
        let mut rest = match rest.strip_prefix('{') {
            None => rest,
            Some(mut rest) => loop {
                if let Some(after) = rest.strip_prefix('}') {
                    break after;
                }
                let (label, value) = rest.split_once("=\"")?;
                let (value, after) = quoted(value)?;
                labels.push((label.trim_start_matches(',').to_owned(), value));
                rest = after;
            },
        };
        rest = rest.trim_start();
        let value = rest.split(' ').next()?.parse().ok()?;
        Some(Self { name: name.to_owned(), labels, value })
    }

    pub(super) fn label(&self, name: &str) -> Option<&str> {
        self.labels.iter().find(|(label, _)| label == name).map(|(_, value)| value.as_str())
    }
}

/// The text up to the closing quote, without escapes, and what follows it.
fn quoted(text: &str) -> Option<(String, &str)> {
    let mut value = String::new();
    let mut rest = text.chars();
    loop {
        match rest.next()? {
            '"' => return Some((value, rest.as_str())),
            '\\' => match rest.next()? {
                'n' => value.push('\n'),
                other => value.push(other),
            },
            other => value.push(other),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const TEXT: &str = "\
# TYPE requests_by_kind counter
requests_by_kind_total{plugin=\"classify\",kind=\"api\"} 812
requests_by_kind_total{plugin=\"classify\",kind=\"a \\\"b\\\", {c}=\\\\\"} 1.5 # {trace_id=\"4bf9\"} 0.5 1767225600.042
up 1
broken{kind=\"api
# EOF
";

    #[test]
    fn reads_labels_values_and_exemplars() {
        let samples = Samples::parse(TEXT);
        assert_eq!(samples.0.len(), 3);
        assert_eq!(samples.sum("requests_by_kind_total", None), 813.5);
        assert_eq!(samples.sum("requests_by_kind_total", Some(("kind", "api"))), 812.0);
        assert_eq!(samples.sum("up", None), 1.0);
        let odd = samples.named("requests_by_kind_total").nth(1).unwrap();
        assert_eq!(odd.label("kind"), Some("a \"b\", {c}=\\"));
    }
}
