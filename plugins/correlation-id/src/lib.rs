//! Gives each exchange one id: the client's where that can be trusted, else a new one.
//! How ids look stands in `id`, whom to trust in `trust`; here is only the order of things.

use tidegate_sdk::prelude::*;

pub mod id;
pub mod trust;

use id::{Format, Maker};
use trust::Trust;

/// The configuration.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields, default)]
struct Config {
    /// The header that carries the id, upstream and back.
    header: String,
    /// How a new id looks.
    format: Format,
    /// Whose ids are taken.
    trust: Trust,
    /// More headers to take an id from, after `header`. Where a request has them, they get the id too.
    accept: Vec<String>,
    /// A field of the log line that gets the id too.
    log_field: Option<String>,
    /// An attribute of the span that gets the id too.
    span_attribute: Option<String>,
}

struct CorrelationId {
    config: Config,
    maker: Maker,
    origins: Origins,
    ids: Counter<1>,
}

/// Where an id is from.
struct Origins {
    received: Label,
    created: Label,
    replaced: Label,
}

#[plugin]
impl CorrelationId {
    fn configure(config: Config, define: &mut Define) -> Result<Self> {
        for (key, header) in
            [("header", &config.header)].into_iter().chain(config.accept.iter().map(|name| ("accept", name)))
        {
            if !is_header_name(header) {
                return Err(Error::new(format_args!("config.{key}: `{header}` is no name of a header")));
            }
        }
        let origins = define.label_set("origin", ["received", "created", "replaced"])?;
        Ok(Self {
            origins: Origins {
                received: origins.get("received"),
                created: origins.get("created"),
                replaced: origins.get("replaced"),
            },
            ids: define.counter("correlation_id.ids").help("Ids by where they are from").labels(["origin"]).build()?,
            maker: Maker::new(config.format),
            config,
        })
    }

    fn request_head(&mut self, exchange: &Exchange) -> Result<()> {
        let Config { header, trust, accept, log_field, span_attribute, .. } = &self.config;
        let headers = exchange.request_headers();
        let received = headers.get(header).or_else(|| accept.iter().find_map(|name| headers.get(name)));
        let taken = received.as_ref().and_then(|received| id::valid(received)).filter(|_| trust.covers(exchange));
        let origin = match (taken, &received) {
            (Some(_), _) => self.origins.received,
            (None, Some(_)) => self.origins.replaced,
            (None, None) => self.origins.created,
        };
        self.ids.add(1, [origin]);
        let made;
        let id = match taken {
            Some(id) => id,
            None => {
                made = self.maker.make(exchange.started_at());
                &made
            }
        };
        exchange.set_correlation_id(id, header)?;
        for name in accept.iter().filter(|name| headers.contains(name)) {
            headers.set(name, id)?;
        }
        if let Some(key) = log_field {
            exchange.log_field(key, id);
        }
        if let Some(key) = span_attribute {
            exchange.span().attribute(key, id);
        }
        Ok(())
    }
}

impl Default for Config {
    fn default() -> Self {
        Self {
            header: "x-request-id".to_owned(),
            format: Format::default(),
            trust: Trust::default(),
            accept: Vec::new(),
            log_field: None,
            span_attribute: None,
        }
    }
}

/// A token, as RFC 9110 (5.6.2) has it.
fn is_header_name(name: &str) -> bool {
    let token = |byte: u8| byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&byte);
    !name.is_empty() && name.len() <= 128 && name.bytes().all(token)
}

#[cfg(test)]
mod tests;
