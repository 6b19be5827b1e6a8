//! Rules that give a request its class: the first that matches does. Pure, but for the facts it asks for.
//! They know nothing of metrics.

use std::cell::OnceCell;

use tidegate_sdk::prelude::*;

/// A rule: all of its conditions hold for a request that matches.
#[derive(Clone, Debug, Default, Deserialize, PartialEq)]
#[serde(deny_unknown_fields, default)]
pub struct Rule {
    /// The path is this, or begins with it and a `/`.
    pub path_prefix: Option<String>,
    /// The path is exactly this.
    pub path: Option<String>,
    /// The host is this; `*.example.com` is every host below `example.com`.
    pub host: Option<String>,
    /// The method is this.
    pub method: Option<String>,
    /// A header is there, or has this value.
    pub header: Option<Field>,
    /// A query parameter is there, or has this value once percent-decoded.
    pub query: Option<Field>,
    /// The class.
    pub value: String,
}

/// A header or a query parameter.
#[derive(Clone, Debug, Deserialize, PartialEq, Eq)]
#[serde(deny_unknown_fields)]
pub struct Field {
    /// Its name.
    pub name: String,
    /// Its value; without one it only has to be there.
    pub value: Option<String>,
}

/// Rules in their order.
#[derive(Clone, Debug, PartialEq)]
pub struct Rules(Vec<Rule>);

/// What rules ask of a request.
pub trait Facts {
    /// The path as received.
    fn path(&self) -> Bytes;
    /// The query, without its `?`.
    fn query(&self) -> Option<Bytes>;
    /// The host, in lower case.
    fn host(&self) -> Bytes;
    /// The method.
    fn method(&self) -> Bytes;
    /// The values of a header until `matches` takes one; whether it did.
    fn any_header(&self, name: &str, matches: &dyn Fn(&[u8]) -> bool) -> bool;
}

/// Asks for a fact once, and only if a rule needs it.
struct Once<'a, F> {
    facts: &'a F,
    path: OnceCell<Bytes>,
    query: OnceCell<Option<Bytes>>,
    host: OnceCell<Bytes>,
    method: OnceCell<Bytes>,
}

// === impl Rules ===

impl Rules {
    /// Checks the rules.
    ///
    /// # Errors
    /// Which rule is wrong, and why.
    pub fn new(mut rules: Vec<Rule>) -> Result<Self, String> {
        for (index, rule) in rules.iter_mut().enumerate() {
            rule.check().map_err(|why| format!("config.rules[{index}]{why}"))?;
        }
        Ok(Self(rules))
    }

    /// The class of every rule.
    pub fn values(&self) -> impl Iterator<Item = &str> {
        self.0.iter().map(|rule| &*rule.value)
    }

    /// The first rule that matches, by its place among [`Rules::values`].
    pub fn find(&self, facts: &impl Facts) -> Option<usize> {
        let facts = Once {
            facts,
            path: OnceCell::new(),
            query: OnceCell::new(),
            host: OnceCell::new(),
            method: OnceCell::new(),
        };
        self.0.iter().position(|rule| rule.matches(&facts))
    }
}

// === impl Rule ===

impl Rule {
    fn check(&mut self) -> Result<(), String> {
        if self.value.is_empty() {
            return Err(".value: missing, it is the class that the rule gives".to_owned());
        }
        for (key, path) in [(".path", &self.path), (".path_prefix", &self.path_prefix)] {
            if path.as_ref().is_some_and(|path| !path.starts_with('/')) {
                return Err(format!("{key}: a path begins with `/`"));
            }
        }
        if self.path.is_some() && self.path_prefix.is_some() {
            return Err(": `path` and `path_prefix`, a rule has one of them".to_owned());
        }
        if let Some(host) = &mut self.host {
            host.make_ascii_lowercase();
        }
        let Self { path_prefix, path, host, method, header, query, value: _ } = self;
        let conditions = [
            path_prefix.is_some(),
            path.is_some(),
            host.is_some(),
            method.is_some(),
            header.is_some(),
            query.is_some(),
        ];
        if !conditions.contains(&true) {
            return Err(": no condition; write `otherwise` for everything else".to_owned());
        }
        Ok(())
    }

    fn matches<F: Facts>(&self, facts: &Once<'_, F>) -> bool {
        let Self { path_prefix, path, host, method, header, query, value: _ } = self;
        path.as_ref().is_none_or(|path| *facts.path() == *path.as_bytes())
            && path_prefix.as_ref().is_none_or(|prefix| is_below(facts.path(), prefix.as_bytes()))
            && host.as_ref().is_none_or(|host| is_host(facts.host(), host))
            && method.as_ref().is_none_or(|method| *facts.method() == *method.as_bytes())
            && header.as_ref().is_none_or(|header| header.is_header(facts.facts))
            && query.as_ref().is_none_or(|query| facts.query().is_some_and(|all| query.is_in(all)))
    }
}

impl Field {
    fn is_header(&self, facts: &impl Facts) -> bool {
        facts.any_header(&self.name, &|found| self.value.as_ref().is_none_or(|value| found == value.as_bytes()))
    }

    fn is_in(&self, query: &[u8]) -> bool {
        query.split(|&byte| byte == b'&').any(|pair| {
            let mut parts = pair.splitn(2, |&byte| byte == b'=');
            let (name, found) = (parts.next().unwrap_or_default(), parts.next().unwrap_or_default());
            !pair.is_empty()
                && decoded(name).eq(self.name.bytes())
                && self.value.as_ref().is_none_or(|value| decoded(found).eq(value.bytes()))
        })
    }
}

// === impl Once ===

impl<F: Facts> Once<'_, F> {
    fn path(&self) -> &[u8] {
        self.path.get_or_init(|| self.facts.path())
    }

    fn query(&self) -> Option<&[u8]> {
        self.query.get_or_init(|| self.facts.query()).as_deref()
    }

    fn host(&self) -> &[u8] {
        self.host.get_or_init(|| self.facts.host())
    }

    fn method(&self) -> &[u8] {
        self.method.get_or_init(|| self.facts.method())
    }
}

// === impl Facts ===

impl Facts for Exchange {
    fn path(&self) -> Bytes {
        Self::path(self)
    }

    fn query(&self) -> Option<Bytes> {
        Self::query(self)
    }

    fn host(&self) -> Bytes {
        Self::host(self)
    }

    fn method(&self) -> Bytes {
        Self::method(self)
    }

    fn any_header(&self, name: &str, matches: &dyn Fn(&[u8]) -> bool) -> bool {
        // Most headers have one value, and that one costs no list.
        let headers = self.request_headers();
        match headers.get(name) {
            Some(first) => matches(&first) || headers.all(name).iter().skip(1).any(|value| matches(value)),
            None => false,
        }
    }
}

/// Whether a path is `prefix` or below it, by whole segments.
fn is_below(path: &[u8], prefix: &[u8]) -> bool {
    let prefix = prefix.strip_suffix(b"/").unwrap_or(prefix);
    path.strip_prefix(prefix).is_some_and(|rest| matches!(rest.first(), None | Some(b'/')))
}

fn is_host(host: &[u8], pattern: &str) -> bool {
    match pattern.strip_prefix('*') {
        Some(suffix) => host.len() > suffix.len() && host.ends_with(suffix.as_bytes()),
        None => host == pattern.as_bytes(),
    }
}

/// The bytes of a query's name or value: `%xx` and `+` decoded, anything malformed as it stands.
fn decoded(encoded: &[u8]) -> impl Iterator<Item = u8> {
    let mut rest = encoded;
    std::iter::from_fn(move || {
        let hex = |digit: u8| char::from(digit).to_digit(16).and_then(|digit| u8::try_from(digit).ok());
        match rest {
            [b'%', high, low, after @ ..] if high.is_ascii_hexdigit() && low.is_ascii_hexdigit() => {
                rest = after;
                Some(hex(*high)? << 4 | hex(*low)?)
            }
            [byte, after @ ..] => {
                rest = after;
                Some(if *byte == b'+' { b' ' } else { *byte })
            }
            [] => None,
        }
    })
}
