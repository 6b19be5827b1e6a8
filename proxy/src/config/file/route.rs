//! `routes`: which requests go where.
//! It matches nothing.

use http::Method;
use http::header::HeaderName;
use schemars::{JsonSchema, Schema, SchemaGenerator};
use serde::{Deserialize, Serialize};

use super::Named;
use crate::config::syntax::{HeaderMatch, HeaderText, Name, PathPrefix, Syntax, Text, TimeLimit};
use crate::route::config::{Host, Template};

/// Which requests, and what becomes of them.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct RouteFile {
    /// Its name in metrics, logs and spans; the upstream's where it has none, numbered where that is taken.
    #[schemars(example = &"users")]
    pub name: Option<Text<Name>>,
    /// Which requests it is for; all that is given must hold. Without it, every request.
    #[serde(default, rename = "match")]
    pub matcher: MatchFile,
    /// What is changed in the request's head on the way to the upstream.
    #[serde(default)]
    pub rewrite: RewriteFile,
    /// The name of the upstream that answers.
    #[schemars(example = &"users")]
    pub upstream: String,
    /// Names of limits, checked in order. Replaces `defaults.limits`.
    #[schemars(example = ["per-client"])]
    pub limits: Option<Vec<String>>,
    /// Names of plugins, in the order in which they see a request; responses pass in reverse. Replaces `defaults.plugins`.
    #[schemars(example = ["ids", "classify"])]
    pub plugins: Option<Vec<String>>,
    /// The whole exchange, from the request's head to the end of the response's body. Replaces `defaults.timeout`.
    #[schemars(example = &"30s", example = &"off")]
    pub timeout: Option<Text<TimeLimit>>,
}

/// Which requests a route is for; all that is given must hold.
#[derive(Clone, Debug, Default, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct MatchFile {
    /// Any of these hosts. `*.example.com` is every name below `example.com`.
    #[schemars(length(min = 1), example = ["api.example.com", "*.api.example.com"])]
    pub hosts: Option<Vec<Text<Host>>>,
    /// The path, as a template: `{name}` is one segment, `{*name}` at the end is the rest. Metrics and spans are named after it.
    #[schemars(example = &"/users/{id}")]
    pub path: Option<Text<Template>>,
    /// Paths that begin with these segments: `/ws` is `/ws` and `/ws/a`, not `/wsx`.
    #[schemars(example = &"/ws")]
    pub path_prefix: Option<Text<PathPrefix>>,
    /// Any of these methods.
    #[schemars(length(min = 1), example = ["GET", "HEAD"])]
    pub methods: Option<Vec<Text<Method>>>,
    /// All of these headers, with these values; `*` is any value.
    #[schemars(schema_with = "headers::<HeaderMatch>")]
    pub headers: Named<Text<HeaderMatch>>,
    /// Only requests that came in at these listeners.
    #[schemars(length(min = 1), example = ["web"])]
    pub listeners: Option<Vec<String>>,
}

/// What is changed in the request's head on the way to the upstream.
#[derive(Clone, Debug, Default, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct RewriteFile {
    /// Replaces the matched `path_prefix`, or the segments of `path` before its first parameter; with neither it stands before the path.
    #[schemars(example = &"/v1/users")]
    pub prefix: Option<Text<PathPrefix>>,
    /// The host that the upstream sees; without it, the client's.
    #[schemars(example = &"users.internal")]
    pub host: Option<Text<HeaderText>>,
}

/// The schema of a map from names of headers.
pub(super) fn headers<T: Syntax>(generator: &mut SchemaGenerator) -> Schema {
    let mut schema = Named::<Text<T>>::json_schema(generator);
    schema.insert("propertyNames".to_owned(), serde_json::json!({ "format": HeaderName::FORMAT }));
    schema
}
