//! The small languages of values: durations, sizes, rates, addresses, hosts, paths, headers.
//! It knows no key; a value is judged by its text alone.

mod http;
mod network;
mod setting;
mod unit;

use std::borrow::Cow;

use schemars::{JsonSchema, Schema, SchemaGenerator};
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use serde_json::json;

pub use self::http::{HeaderMatch, HeaderText, PathPrefix, Secret};
pub use network::EndpointAddress;
pub use setting::{AdminAddress, LimitKey, Name, Output, TimeLimit, Workers};
pub use unit::{Rate, Size, Time};

/// A value that is written as one word.
pub trait Syntax: Sized {
    /// The `format` in the JSON schema; with blanks for dashes, what messages call it.
    const FORMAT: &'static str;
    /// What is allowed, for the reference.
    const ALLOWED: &'static str;

    /// Reads it. The error says what is allowed, or what was probably meant.
    fn parse(text: &str) -> Result<Self, String>;

    /// Writes it so that `parse` reads the same.
    fn show(&self) -> String;

    /// The types of JSON that it may be written as.
    fn types() -> serde_json::Value {
        json!("string")
    }
}

/// A value of a file that is written in a [`Syntax`].
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Text<T>(pub T);

/// What is wrong with a text of this format, if anything; `None` for formats that are not ours.
pub fn judge(format: &str, text: &str) -> Option<Result<(), String>> {
    macro_rules! judges {
        ($($syntax:ty),* $(,)?) => {
            $(if format == <$syntax as Syntax>::FORMAT {
                return Some(<$syntax as Syntax>::parse(text).map(drop));
            })*
        };
    }
    judges!(
        Time,
        TimeLimit,
        Size,
        Rate,
        Workers,
        AdminAddress,
        LimitKey,
        Name,
        Output,
        HeaderText,
        HeaderMatch,
        EndpointAddress,
        std::net::SocketAddr,
        crate::wire::config::Network,
        crate::route::config::Host,
        crate::route::config::Template,
        crate::telemetry::config::LogInclude,
        ::http::Method,
        ::http::header::HeaderName,
        ::http::Uri,
        PathPrefix,
        Secret,
    );
    None
}

// === impl Text ===

impl<T: Syntax> Serialize for Text<T> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&self.0.show())
    }
}

impl<'de, T: Syntax> Deserialize<'de> for Text<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        T::parse(&text).map(Self).map_err(serde::de::Error::custom)
    }
}

impl<T: Syntax> JsonSchema for Text<T> {
    fn schema_name() -> Cow<'static, str> {
        T::FORMAT.into()
    }

    fn inline_schema() -> bool {
        true
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        let mut schema = Schema::default();
        schema.insert("type".to_owned(), T::types());
        schema.insert("format".to_owned(), T::FORMAT.into());
        schema.insert("x-allowed".to_owned(), T::ALLOWED.into());
        schema
    }
}
