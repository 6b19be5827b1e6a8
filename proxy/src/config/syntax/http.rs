//! What requests are made of: hosts, paths, methods, header names and values.
//! It matches nothing.

use std::sync::Arc;

use ::http::Method;
use ::http::header::{HeaderName, HeaderValue};

use super::Syntax;
use super::network::is_host;
use crate::route::config::{Host, Segment, Template};
use crate::telemetry::config::LogInclude;

/// A path of whole segments that others begin with: `/ws`.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct PathPrefix(pub Arc<str>);

/// The value of a header to send.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct HeaderText(pub HeaderValue);

/// The value of a header that nobody may see: it is not shown, not even in `Debug`.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Secret(pub HeaderValue);

/// The value that a header must have; `*` is any.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct HeaderMatch(pub Option<HeaderValue>);

impl Syntax for Host {
    const FORMAT: &'static str = "host";
    const ALLOWED: &'static str = "a host name, or `*.` and a host name, which is all below it";

    fn parse(text: &str) -> Result<Self, String> {
        if text.contains("://") || text.contains('/') {
            return Err("a host has no scheme and no path".to_owned());
        }
        let lower = text.to_ascii_lowercase();
        if let Some(below) = lower.strip_prefix('*') {
            return match below.strip_prefix('.') {
                Some(name) if is_host(name) => Ok(Self::Wildcard(below.into())),
                Some(_) | None => Err("a wildcard is `*.` and a host name, as `*.example.com`".to_owned()),
            };
        }
        if lower.parse::<std::net::IpAddr>().is_ok() || is_ipv6_literal(&lower) || is_host(&lower) {
            return Ok(Self::Exact(lower.into()));
        }
        match lower.rsplit_once(':') {
            Some((host, port)) if port.parse::<u16>().is_ok() && is_host(host) => {
                Err(format!("a host is matched without its port; did you mean `{host}`?"))
            }
            Some(_) | None => Err("write a host name, as `api.example.com` or `*.example.com`".to_owned()),
        }
    }

    fn show(&self) -> String {
        match self {
            Self::Exact(name) => name.to_string(),
            Self::Wildcard(below) => format!("*{below}"),
        }
    }
}

fn is_ipv6_literal(text: &str) -> bool {
    let inner = text.strip_prefix('[').and_then(|text| text.strip_suffix(']'));
    inner.is_some_and(|inner| inner.parse::<std::net::Ipv6Addr>().is_ok())
}

impl Syntax for PathPrefix {
    const FORMAT: &'static str = "path-prefix";
    const ALLOWED: &'static str = "a path that begins with `/`; it matches whole segments";

    fn parse(text: &str) -> Result<Self, String> {
        path(text)?;
        if text.contains(['{', '}', '*']) {
            return Err("a prefix has no parameters; use `path` for a template".to_owned());
        }
        // `/ws/` and `/ws` are the same segments.
        let whole = text.trim_end_matches('/');
        Ok(Self(if whole.is_empty() { "/" } else { whole }.into()))
    }

    fn show(&self) -> String {
        self.0.to_string()
    }
}

impl Syntax for Template {
    const FORMAT: &'static str = "path-template";
    const ALLOWED: &'static str = "a path; `{name}` is any one segment, `{*name}` at the end is the rest";

    fn parse(text: &str) -> Result<Self, String> {
        path(text)?;
        let mut segments = Vec::new();
        let mut names: Vec<&str> = Vec::new();
        let parts: Vec<&str> = text.split('/').skip(1).collect();
        for (index, part) in parts.iter().enumerate() {
            let segment = match part.strip_prefix('{').and_then(|part| part.strip_suffix('}')) {
                Some(inner) => {
                    let (name, rest) = inner.strip_prefix('*').map_or((inner, false), |name| (name, true));
                    if !is_parameter(name) {
                        return Err(format!("`{{{inner}}}` must be a name of letters, digits and `_` in braces"));
                    }
                    if names.contains(&name) {
                        return Err(format!("the parameter `{name}` is there twice"));
                    }
                    names.push(name);
                    if rest && index + 1 < parts.len() {
                        return Err(format!("`{part}` takes all that is left, so it must be the last segment"));
                    }
                    if rest { Segment::Rest(name.into()) } else { Segment::Parameter(name.into()) }
                }
                None if part.contains(['{', '}']) => {
                    return Err(format!("a parameter is a whole segment, so `{part}` cannot be one"));
                }
                None if *part == "*" || *part == "**" => {
                    return Err(format!("write `{{name}}` for one segment or `{{*name}}` for the rest, not `{part}`"));
                }
                None if part.starts_with(':') && part.len() > 1 => {
                    return Err(format!("did you mean `{{{}}}`?", part.trim_start_matches(':')));
                }
                None => Segment::Literal((*part).into()),
            };
            segments.push(segment);
        }
        Ok(Self { text: text.into(), segments })
    }

    fn show(&self) -> String {
        self.text.to_string()
    }
}

fn is_parameter(name: &str) -> bool {
    !name.is_empty() && name.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_')
}

/// What holds for every path.
fn path(text: &str) -> Result<(), String> {
    if !text.starts_with('/') {
        return Err(format!("a path begins with `/`; did you mean `/{text}`?"));
    }
    if let Some(bad) = text
        .chars()
        .find(|c| !c.is_ascii_graphic() || matches!(c, '?' | '#' | '"' | '<' | '>' | '\\' | '`' | '^' | '|'))
    {
        return Err(match bad {
            '?' | '#' => format!("a path has no `{bad}`; the query is not matched"),
            _ => format!("`{}` must be percent-encoded in a path", bad.escape_debug()),
        });
    }
    let plain = text.split('/').any(|part| matches!(part, "." | ".."));
    let empty = text.trim_end_matches('/').contains("//") || text.ends_with("//");
    if plain || empty {
        return Err("no request has such a path: `.`, `..` and empty segments are resolved before".to_owned());
    }
    Ok(())
}

impl Syntax for Method {
    const FORMAT: &'static str = "method";
    const ALLOWED: &'static str = "a method in capitals, as `GET`";

    fn parse(text: &str) -> Result<Self, String> {
        let upper = text.to_ascii_uppercase();
        if upper != text {
            return Err(format!("methods are in capitals; did you mean `{upper}`?"));
        }
        Self::from_bytes(text.as_bytes()).map_err(|_| "write a method, as `GET`".to_owned())
    }

    fn show(&self) -> String {
        self.to_string()
    }
}

impl Syntax for HeaderName {
    const FORMAT: &'static str = "header-name";
    const ALLOWED: &'static str = "the name of a header; case does not matter";

    fn parse(text: &str) -> Result<Self, String> {
        Self::from_bytes(text.as_bytes()).map_err(|_| "a header's name has letters, digits and dashes".to_owned())
    }

    fn show(&self) -> String {
        self.to_string()
    }
}

impl Syntax for HeaderText {
    const FORMAT: &'static str = "header-value";
    const ALLOWED: &'static str = "text without line ends";

    fn parse(text: &str) -> Result<Self, String> {
        HeaderValue::from_str(text).map(Self).map_err(|_| "a header's value is ASCII text in one line".to_owned())
    }

    fn show(&self) -> String {
        String::from_utf8_lossy(self.0.as_bytes()).into_owned()
    }
}

impl Syntax for Secret {
    const FORMAT: &'static str = "secret";
    const ALLOWED: &'static str = "text without line ends; it is never shown";

    fn parse(text: &str) -> Result<Self, String> {
        let HeaderText(mut value) = HeaderText::parse(text)?;
        value.set_sensitive(true);
        Ok(Self(value))
    }

    /// Stars: what is written is not the secret.
    fn show(&self) -> String {
        "***".to_owned()
    }
}

impl Syntax for HeaderMatch {
    const FORMAT: &'static str = "header-match";
    const ALLOWED: &'static str = "the value that the header must have; `*` is any";

    fn parse(text: &str) -> Result<Self, String> {
        if text == "*" { Ok(Self(None)) } else { HeaderText::parse(text).map(|text| Self(Some(text.0))) }
    }

    fn show(&self) -> String {
        self.0.clone().map_or_else(|| "*".to_owned(), |value| HeaderText(value).show())
    }
}

impl Syntax for LogInclude {
    const FORMAT: &'static str = "log-field";
    const ALLOWED: &'static str = "`request_header.<name>` or `response_header.<name>`";

    fn parse(text: &str) -> Result<Self, String> {
        match text.split_once('.') {
            Some(("request_header", name)) => HeaderName::parse(name).map(Self::RequestHeader),
            Some(("response_header", name)) => HeaderName::parse(name).map(Self::ResponseHeader),
            Some(_) | None => Err("write `request_header.<name>` or `response_header.<name>`".to_owned()),
        }
    }

    fn show(&self) -> String {
        match self {
            Self::RequestHeader(name) => format!("request_header.{name}"),
            Self::ResponseHeader(name) => format!("response_header.{name}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::{PathPrefix, Secret};
    use crate::config::syntax::Syntax;
    use crate::route::config::{Host, Segment, Template};

    #[test]
    fn templates() {
        let template = Template::parse("/users/{id}/{*rest}").unwrap();
        assert_eq!(
            template.segments,
            [Segment::Literal("users".into()), Segment::Parameter("id".into()), Segment::Rest("rest".into())]
        );
        for text in ["/", "/a/", "/a.b/c-d"] {
            assert_eq!(Template::parse(text).unwrap().show(), text);
        }
        for text in ["", "users", "/a{b}", "/{a}/{a}", "/{*a}/b", "/{}", "/a b", "/a?b", "/../a", "/a//b", "/*", "/é"]
        {
            assert!(Template::parse(text).is_err(), "{text}");
        }
        assert!(Template::parse("/users/:id").unwrap_err().contains("`{id}`"));
    }

    #[test]
    fn prefixes_are_whole_segments() {
        assert_eq!(PathPrefix::parse("/ws/").unwrap().show(), "/ws");
        assert_eq!(PathPrefix::parse("/").unwrap().show(), "/");
        assert!(PathPrefix::parse("/{id}").is_err());
    }

    #[test]
    fn secrets_do_not_show() {
        let secret = Secret::parse("Bearer abc").unwrap();
        assert_eq!(secret.0, "Bearer abc");
        assert!(!format!("{secret:?} {}", secret.show()).contains("abc"));
        assert!(Secret::parse("a\nb").is_err());
    }

    #[test]
    fn hosts() {
        assert_eq!(Host::parse("API.Example.com"), Ok(Host::Exact("api.example.com".into())));
        assert_eq!(Host::parse("*.example.com"), Ok(Host::Wildcard(".example.com".into())));
        for text in ["", "*", "*example.com", "a.*.b", "http://a", "a/b", "a b", "-a", "a..b"] {
            assert!(Host::parse(text).is_err(), "{text}");
        }
        assert!(Host::parse("example.com:8080").unwrap_err().contains("`example.com`"));
    }
}
