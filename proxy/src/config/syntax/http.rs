//! What requests are made of: hosts, paths, methods, header names and values.
//! It matches nothing.

use std::sync::Arc;

use ::http::Method;
use ::http::header::{HeaderName, HeaderValue};

use super::Syntax;
use crate::route::Error;
use crate::route::config::{Host, PathMatch, Template};
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
        if text.contains('/') {
            return Err("a host has no scheme and no path".to_owned());
        }
        Self::parse(text).map_err(|error| match text.rsplit_once(':') {
            Some((host, port)) if port.parse::<u16>().is_ok() && Self::parse(host).is_ok() => {
                format!("a host is matched without its port; did you mean `{host}`?")
            }
            Some(_) | None => error.to_string(),
        })
    }

    fn show(&self) -> String {
        match self {
            Self::Exact(name) => name.to_string(),
            Self::Wildcard(below) => format!("*{below}"),
        }
    }
}

impl Syntax for PathPrefix {
    const FORMAT: &'static str = "path-prefix";
    const ALLOWED: &'static str = "a path that begins with `/`; it matches whole segments";

    fn parse(text: &str) -> Result<Self, String> {
        if text.contains(['{', '}', '*']) {
            return Err("a prefix has no parameters; use `path` for a template".to_owned());
        }
        PathMatch::prefix(text).map(|_| Self(text.into())).map_err(|error| slip(text, &error))
    }

    fn show(&self) -> String {
        self.0.to_string()
    }
}

impl Syntax for Template {
    const FORMAT: &'static str = "path-template";
    const ALLOWED: &'static str = "a path; `{name}` is any one segment, `{*name}` at the end is the rest";

    fn parse(text: &str) -> Result<Self, String> {
        for part in text.split('/') {
            if part == "*" || part == "**" {
                return Err(format!("write `{{name}}` for one segment or `{{*name}}` for the rest, not `{part}`"));
            }
            if let Some(name) = part.strip_prefix(':').filter(|name| !name.is_empty()) {
                return Err(format!("did you mean `{{{name}}}`?"));
            }
        }
        Self::parse(text).map_err(|error| slip(text, &error))
    }

    fn show(&self) -> String {
        self.text.to_string()
    }
}

/// What was probably meant by a path that is none.
fn slip(text: &str, error: &Error) -> String {
    match error {
        Error::NotAbsolute if !text.is_empty() => format!("{error}; did you mean `/{text}`?"),
        other => other.to_string(),
    }
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
    use crate::route::config::{Host, Template};

    #[test]
    fn paths() {
        for text in ["/", "/a/", "/users/{id}/{*rest}"] {
            assert_eq!(<Template as Syntax>::parse(text).unwrap().show(), text);
        }
        for text in ["", "users", "/a{b}", "/{a}/{a}", "/{*a}/b", "/{}", "/a b", "/a?b", "/../a", "/*", "/é"] {
            assert!(<Template as Syntax>::parse(text).is_err(), "{text}");
        }
        assert!(<Template as Syntax>::parse("/users/:id").unwrap_err().contains("`{id}`"));
        assert!(<Template as Syntax>::parse("users").unwrap_err().contains("`/users`"));
        assert!(PathPrefix::parse("/ws").is_ok());
        assert!(PathPrefix::parse("/{id}").unwrap_err().contains("`path`"));
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
        for text in ["api.example.com", "*.example.com", "[::1]"] {
            assert_eq!(<Host as Syntax>::parse(text).unwrap().show(), text);
        }
        for text in ["", "*", "*example.com", "a.*.b", "http://a", "a/b", "a b", "a..b"] {
            assert!(<Host as Syntax>::parse(text).is_err(), "{text}");
        }
        assert!(<Host as Syntax>::parse("example.com:8080").unwrap_err().contains("`example.com`"));
    }
}
