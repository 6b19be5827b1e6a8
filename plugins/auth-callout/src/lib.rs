//! Forward authentication: asks a service of yours whether a request may pass, and as whom.
//! What an answer means stands in `answer`, how it is found again in `key`; here is only the order of things.

use std::cell::Cell;

use tidegate_sdk::prelude::*;

pub mod answer;
pub mod config;
pub mod key;

use answer::Meaning;
use config::{Cache, Config, Identity, OnFailure, Part};
use key::Secret;

/// Under this name of the store all workers find the same secret.
const SECRET: &[u8] = b"secret";

struct AuthCallout {
    config: Config,
    outcomes: LabelSet,
    requests: Counter<1>,
    duration: Histogram,
    secret: Cell<Option<Secret>>,
}

#[plugin]
impl AuthCallout {
    fn configure(config: Config, define: &mut Define) -> Result<Self> {
        config.check()?;
        let outcomes = define.label_set("outcome", ["allowed", "denied", "failed", "cached"])?;
        Ok(Self {
            requests: define
                .counter("auth.requests")
                .unit("{request}")
                .help("Requests by what the service said")
                .labels(["outcome"])
                .build()?,
            duration: define
                .histogram("auth.duration")
                .unit("s")
                .help("Time until the service had answered")
                .build()?,
            outcomes,
            config,
            secret: Cell::new(None),
        })
    }

    async fn request_head(&self, exchange: &Exchange) -> Result<Flow> {
        // First of all, and whatever comes next: nobody says on their own who they are.
        if let Err(why) = self.strip(exchange) {
            error!("cannot remove the client's own headers of identity: {why}");
            return Ok(self.unavailable(exchange, "identity"));
        }
        let remembered = self.config.cache.as_ref().and_then(|cache| Some((cache, self.name(exchange, cache)?)));
        if let Some(identity) = remembered.as_ref().and_then(|(_, name)| self.recall(name)) {
            self.note(exchange, "cached");
            self.identify(exchange, &identity)?;
            return Ok(Flow::Continue);
        }
        let before = exchange.duration();
        let answer = exchange.call_out(self.question(exchange)).await;
        self.duration.record(exchange.duration().saturating_sub(before), []);
        let answer = match answer {
            Ok(answer) => answer,
            Err(error) => {
                let reason = match &error {
                    CallOutError::Failed(reason) => reason,
                    _ => "refused",
                };
                warn!("the service `{}` cannot be asked: {error}", self.config.upstream);
                return Ok(self.failed(exchange, reason));
            }
        };
        match answer::meaning(answer.status()) {
            Meaning::Allowed => {
                self.note(exchange, "allowed");
                let identity = answer::identity(&answer, self.config.identity.iter().map(|identity| &*identity.header));
                if let Some((cache, name)) = &remembered
                    && let Some(lifetime) = answer::lifetime(&answer, cache.ttl.0)
                {
                    // A store that is full remembers less; that costs a question more.
                    let _ = store().set(name, answer::encode(&identity), Some(lifetime));
                }
                self.identify(exchange, &identity)?;
                Ok(Flow::Continue)
            }
            Meaning::Denied => {
                self.note(exchange, "denied");
                Ok(exchange.reply(answer::reply(&answer)))
            }
            Meaning::Failed => {
                warn!("the service `{}` answered {}", self.config.upstream, answer.status());
                Ok(self.failed(exchange, &format!("status_{}", answer.status())))
            }
        }
    }
}

impl AuthCallout {
    /// Removes what the client says of who it is, also in the spelling that servers take for the same: they do not tell `_` from `-`.
    fn strip(&self, exchange: &Exchange) -> Result<(), Refused> {
        if self.config.identity.is_empty() {
            return Ok(());
        }
        let headers = exchange.request_headers();
        for (name, _) in headers.list() {
            if self.config.identity.iter().any(|identity| same(&identity.header, &name)) {
                headers.remove(&name)?;
            }
        }
        Ok(())
    }

    /// The request to the service.
    fn question(&self, exchange: &Exchange) -> CallOut {
        let Config { upstream, path, method, request_headers, timeout, .. } = &self.config;
        let mut uri = exchange.path().to_vec();
        if let Some(query) = exchange.query() {
            uri.push(b'?');
            uri.extend_from_slice(&query);
        }
        let mut question = CallOut::new(method, upstream, path)
            .timeout(timeout.0)
            .header("x-forwarded-method", exchange.method())
            .header("x-forwarded-proto", exchange.scheme())
            .header("x-forwarded-host", exchange.host())
            .header("x-forwarded-uri", uri);
        if let Some(client) = exchange.client_address() {
            question = question.header("x-forwarded-for", client.to_string());
        }
        for name in request_headers {
            for value in exchange.request_headers().all(name) {
                question = question.header(name, value);
            }
        }
        question
    }

    /// The name under which the answer to this request is remembered. It holds everything that the answer may depend on: the configuration
    /// too, since the store outlives it.
    fn name(&self, exchange: &Exchange, cache: &Cache) -> Option<[u8; 32]> {
        let Config { upstream, path, method, request_headers, identity, .. } = &self.config;
        let mut name = self.secret()?.name();
        for part in [upstream, path, method] {
            name.part(part.as_bytes());
        }
        for Identity { header, .. } in identity {
            name.part(header.to_ascii_lowercase().as_bytes());
        }
        for header in cache.key_headers.as_ref().unwrap_or(request_headers) {
            let values = exchange.request_headers().all(header);
            name.part(header.to_ascii_lowercase().as_bytes()).part(&[u8::try_from(values.len()).unwrap_or(u8::MAX)]);
            values.iter().for_each(|value| _ = name.part(value));
        }
        for part in &cache.key {
            match part {
                Part::Method => name.part(b"method").part(&exchange.method()),
                Part::Scheme => name.part(b"scheme").part(&exchange.scheme()),
                Part::Host => name.part(b"host").part(&exchange.host()),
                Part::Path => {
                    let query = exchange.query();
                    let has_query = [u8::from(query.is_some())];
                    name.part(b"path").part(&exchange.path()).part(&has_query).part(&query.unwrap_or_default())
                }
                Part::Client => {
                    let client = exchange.client_address().map(|client| client.to_string());
                    name.part(b"client").part(client.unwrap_or_default().as_bytes())
                }
            };
        }
        Some(name.finish())
    }

    /// The secret of this proxy's life, which the first worker that needs it makes. `None` when there is no store.
    fn secret(&self) -> Option<Secret> {
        if let Some(secret) = self.secret.get() {
            return Some(secret);
        }
        let made = Secret::new();
        let secret = match store().swap(SECRET, None, made.as_bytes(), None) {
            Ok(true) => made,
            Ok(false) => Secret::from_bytes(&store().get(SECRET).ok()??)?,
            Err(_) => return None,
        };
        self.secret.set(Some(secret));
        Some(secret)
    }

    fn recall(&self, name: &[u8; 32]) -> Option<Vec<Option<Bytes>>> {
        answer::decode(&store().get(name).ok()??, self.config.identity.len())
    }

    /// Says in the request, the log and the span who it is.
    fn identify(&self, exchange: &Exchange, values: &[Option<Bytes>]) -> Result<()> {
        let span = exchange.span();
        for (identity, value) in self.config.identity.iter().zip(values) {
            let Some(value) = value else { continue };
            exchange.request_headers().set(&identity.header, value)?;
            if let Some(field) = &identity.log_field {
                exchange.log_field(field, value);
            }
            if let Some(attribute) = &identity.span_attribute {
                span.attribute(attribute, value);
            }
        }
        Ok(())
    }

    fn note(&self, exchange: &Exchange, outcome: &'static str) {
        self.requests.add(1, [self.outcomes.get(outcome)]);
        exchange.log_field("auth.outcome", outcome);
        exchange.span().attribute("auth.outcome", outcome);
    }

    /// The service has failed.
    fn failed(&self, exchange: &Exchange, reason: &str) -> Flow {
        match self.config.on_failure {
            OnFailure::Deny => self.unavailable(exchange, reason),
            OnFailure::Allow => {
                self.note(exchange, "failed");
                exchange.log_field("auth.error", reason);
                Flow::Continue
            }
        }
    }

    fn unavailable(&self, exchange: &Exchange, reason: &str) -> Flow {
        self.note(exchange, "failed");
        exchange.log_field("auth.error", reason);
        let reply = Reply::new(503).header("cache-control", "no-store").header("content-type", "text/plain");
        exchange.reply(reply.body("who you are cannot be checked now\n"))
    }
}

/// Whether servers may take two names of headers for the same.
fn same(one: &str, other: &str) -> bool {
    let plain = |byte: u8| if byte == b'_' { b'-' } else { byte.to_ascii_lowercase() };
    one.len() == other.len() && one.bytes().zip(other.bytes()).all(|(one, other)| plain(one) == plain(other))
}

#[cfg(test)]
mod tests;
