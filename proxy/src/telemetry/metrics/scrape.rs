//! The answer to a scrape: which text format the scraper wants, and the text.
//! It knows neither listeners nor paths.

use prometheus::TextEncoder;

use super::catalogue::Catalogue;
use super::classic::Classic;
use super::{Counter, Registry, open_metrics};

const TEXT: &str = "text/plain; version=0.0.4; charset=utf-8";
const OPEN_METRICS: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";

/// Answers scrapes of a registry. Clones answer the same; any thread may.
#[derive(Clone, Debug)]
pub struct Scraper {
    registry: Registry,
    prometheus: prometheus::Registry,
    text: Counter,
    open_metrics: Counter,
}

/// Why there is no scrape.
#[derive(Debug, thiserror::Error)]
pub enum ScrapeError {
    /// The registry could not be registered with the `prometheus` crate's.
    #[error("cannot register the metrics")]
    Register(#[source] prometheus::Error),
    /// The `prometheus` crate could not write what it gathered.
    #[error("cannot write the metrics")]
    Write(#[source] prometheus::Error),
}

// === impl Scraper ===

impl Scraper {
    /// A scraper of all that is in `registry` now and later.
    ///
    /// # Errors
    /// The `prometheus` crate refuses the registry, which it has no reason to.
    pub fn new(registry: &Registry, catalogue: &Catalogue) -> Result<Self, ScrapeError> {
        let prometheus = prometheus::Registry::new();
        let classic = Classic::new(registry).map_err(ScrapeError::Register)?;
        prometheus.register(Box::new(classic)).map_err(ScrapeError::Register)?;
        let format = |format| registry.shared().counter(&catalogue.runtime.telemetry_scrapes, &[format]);
        let (text, open_metrics) = (format("text"), format("openmetrics"));
        Ok(Self { registry: registry.clone(), prometheus, text, open_metrics })
    }

    /// The `prometheus` crate's registry that serves the classic format, for collectors of others.
    pub fn prometheus(&self) -> &prometheus::Registry {
        &self.prometheus
    }

    /// All metrics in the format that the `Accept` header asks for: its content type, and the body.
    ///
    /// # Errors
    /// The `prometheus` crate cannot write what it gathered.
    pub fn scrape(&self, accept: Option<&str>) -> Result<(&'static str, Vec<u8>), ScrapeError> {
        if accept.is_some_and(prefers_open_metrics) {
            self.open_metrics.inc();
            return Ok((OPEN_METRICS, open_metrics::encode(&self.registry.gather()).into_bytes()));
        }
        self.text.inc();
        let text = TextEncoder::new().encode_to_string(&self.prometheus.gather()).map_err(ScrapeError::Write)?;
        Ok((TEXT, text.into_bytes()))
    }
}

/// Whether OpenMetrics 1.0.0 is asked for, and at least as much as the classic format (RFC 9110, section 12.5.1).
fn prefers_open_metrics(accept: &str) -> bool {
    let (mut open_metrics, mut text) = (0.0_f64, 0.0_f64);
    for range in accept.split(',') {
        let mut parts = range.split(';').map(str::trim);
        let media_type = parts.next().unwrap_or_default().to_ascii_lowercase();
        let (mut quality, mut version) = (1.0, None);
        for parameter in parts {
            match parameter.split_once('=').map(|(name, value)| (name.trim().to_ascii_lowercase(), value.trim())) {
                Some((name, value)) if name == "q" => quality = value.parse().unwrap_or(0.0),
                Some((name, value)) if name == "version" => version = Some(value.trim_matches('"')),
                Some(_) | None => {}
            }
        }
        match (media_type.as_str(), version) {
            ("application/openmetrics-text", None | Some("1.0.0")) => open_metrics = open_metrics.max(quality),
            ("text/plain", None | Some("0.0.4")) | ("text/*" | "*/*", _) => text = text.max(quality),
            _ => {}
        }
    }
    open_metrics > 0.0 && open_metrics >= text
}
