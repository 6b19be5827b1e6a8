//! Words of our own: `auto`, `off`, names, what a limit counts by.
//! It knows neither what is named nor whether it exists.

use std::net::SocketAddr;
use std::num::NonZeroUsize;
use std::time::Duration;

use ::http::header::HeaderName;
use serde_json::json;

use super::{Syntax, Time};

/// How many workers; `None` is `auto`, one per core.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Workers(pub Option<NonZeroUsize>);

/// A duration; `None` is `off`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TimeLimit(pub Option<Duration>);

/// An address; `None` is `off`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct AdminAddress(pub Option<SocketAddr>);

/// Where lines go.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Output {
    Off,
    Stdout,
    File(String),
}

/// What a limit counts by.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum LimitKey {
    Global,
    Route,
    ClientAddress,
    Header(HeaderName),
    /// What a plugin sets under this name.
    Plugin(String),
}

/// A name that can be a label: 1 to 64 letters, digits, `-`, `_` and `.`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Name(pub String);

impl Syntax for Workers {
    const FORMAT: &'static str = "workers";
    const ALLOWED: &'static str = "`auto`, or a number from 1 to 1024";

    fn parse(text: &str) -> Result<Self, String> {
        if text == "auto" {
            return Ok(Self(None));
        }
        match text.parse::<NonZeroUsize>() {
            Ok(count) if count.get() <= 1024 => Ok(Self(Some(count))),
            Ok(_) | Err(_) => Err("write `auto` or a number from 1 to 1024".to_owned()),
        }
    }

    fn show(&self) -> String {
        self.0.map_or_else(|| "auto".to_owned(), |count| count.to_string())
    }

    fn types() -> serde_json::Value {
        json!(["string", "integer"])
    }
}

impl Syntax for TimeLimit {
    const FORMAT: &'static str = "duration-or-off";
    const ALLOWED: &'static str = "a duration, as `30s`, or `off`";

    fn parse(text: &str) -> Result<Self, String> {
        if text == "off" { Ok(Self(None)) } else { Time::parse(text).map(|time| Self(Some(time.0))) }
    }

    fn show(&self) -> String {
        self.0.map_or_else(|| "off".to_owned(), |time| Time(time).show())
    }
}

impl Syntax for AdminAddress {
    const FORMAT: &'static str = "address-or-off";
    const ALLOWED: &'static str = "an IP address and a port, as `127.0.0.1:9901`, or `off`";

    fn parse(text: &str) -> Result<Self, String> {
        if text == "off" { Ok(Self(None)) } else { SocketAddr::parse(text).map(|address| Self(Some(address))) }
    }

    fn show(&self) -> String {
        self.0.map_or_else(|| "off".to_owned(), |address| address.to_string())
    }
}

impl Syntax for Output {
    const FORMAT: &'static str = "output";
    const ALLOWED: &'static str = "`stdout`, `off`, or the path of a file";

    fn parse(text: &str) -> Result<Self, String> {
        match text {
            "off" => Ok(Self::Off),
            "stdout" => Ok(Self::Stdout),
            "" => Err("write `stdout`, `off`, or the path of a file".to_owned()),
            "stderr" => {
                Err("diagnostics go to standard error; write `stdout`, `off`, or the path of a file".to_owned())
            }
            path => Ok(Self::File(path.to_owned())),
        }
    }

    fn show(&self) -> String {
        match self {
            Self::Off => "off".to_owned(),
            Self::Stdout => "stdout".to_owned(),
            Self::File(path) => path.clone(),
        }
    }
}

impl Syntax for LimitKey {
    const FORMAT: &'static str = "limit-key";
    const ALLOWED: &'static str = "`global`, `route`, `client.address`, `request_header.<name>`, or `plugin.<name>`";

    fn parse(text: &str) -> Result<Self, String> {
        match text {
            "global" => return Ok(Self::Global),
            "route" => return Ok(Self::Route),
            "client.address" => return Ok(Self::ClientAddress),
            _ => {}
        }
        if let Some(name) = text.strip_prefix("request_header.") {
            return HeaderName::parse(name).map(Self::Header);
        }
        if let Some(name) = text.strip_prefix("plugin.") {
            let allowed =
                |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || matches!(byte, b'-' | b'_' | b'.');
            return if (1..=64).contains(&name.len()) && name.bytes().all(allowed) {
                Ok(Self::Plugin(name.to_owned()))
            } else {
                Err("the name after `plugin.` has 1 to 64 small letters, digits, `-`, `_` and `.`".to_owned())
            };
        }
        if let Some(name) = text.strip_prefix("header.") {
            return Err(format!("did you mean `request_header.{name}`?"));
        }
        let near =
            ["global", "route", "client.address"].into_iter().find(|known| strsim::jaro_winkler(known, text) > 0.8);
        Err(match near {
            Some(near) => format!("did you mean `{near}`?"),
            None => format!("it must be {}", Self::ALLOWED),
        })
    }

    fn show(&self) -> String {
        match self {
            Self::Global => "global".to_owned(),
            Self::Route => "route".to_owned(),
            Self::ClientAddress => "client.address".to_owned(),
            Self::Header(name) => format!("request_header.{name}"),
            Self::Plugin(name) => format!("plugin.{name}"),
        }
    }
}

impl Syntax for Name {
    const FORMAT: &'static str = "name";
    const ALLOWED: &'static str = "1 to 64 letters, digits, `-`, `_` and `.`";

    fn parse(text: &str) -> Result<Self, String> {
        let allowed = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_' | b'.');
        if (1..=64).contains(&text.len()) && text.bytes().all(allowed) {
            Ok(Self(text.to_owned()))
        } else {
            Err("a name has 1 to 64 letters, digits, `-`, `_` and `.`".to_owned())
        }
    }

    fn show(&self) -> String {
        self.0.clone()
    }
}
