//! Which requests a route is for, and how their heads are rewritten, after every check.
//! It matches nothing itself.

use std::sync::Arc;

use http::Method;
use http::header::{HeaderName, HeaderValue};

/// What a request must be like; all that is given must hold.
#[derive(Clone, Debug, PartialEq, Default)]
pub struct Match {
    /// Any of these; empty is any host.
    pub hosts: Vec<Host>,
    pub path: PathMatch,
    /// Any of these; empty is any method.
    pub methods: Vec<Method>,
    /// All of these: present, and with this value where one is given.
    pub headers: Vec<(HeaderName, Option<HeaderValue>)>,
    /// Only requests from these listeners (indices); empty is all.
    pub listeners: Vec<usize>,
}

/// A host to match, in lower case and without a port.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Host {
    Exact(Arc<str>),
    /// `*.example.com` matches any name below `example.com`, not itself; this holds `.example.com`.
    Wildcard(Arc<str>),
}

/// A path to match.
#[derive(Clone, Debug, PartialEq, Eq, Default)]
pub enum PathMatch {
    #[default]
    Any,
    /// Whole segments: `/ws` matches `/ws` and `/ws/a`, not `/wsx`.
    Prefix(Arc<str>),
    /// A template without parameters is an exact path. `{name}` is one segment, `{*name}` at the end is the rest.
    Template(Template),
}

/// `/users/{id}`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Template {
    pub text: Arc<str>,
    pub segments: Vec<Segment>,
}

/// One segment of a template.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Segment {
    Literal(Arc<str>),
    /// Any one segment that is not empty.
    Parameter(Arc<str>),
    /// All that is left, at least one segment.
    Rest(Arc<str>),
}

/// What is changed on the way to the upstream.
#[derive(Clone, Debug, PartialEq, Eq, Default)]
pub struct Rewrite {
    /// Replaces what the path match fixed: the prefix of a prefix match, or the literal segments before the first
    /// parameter of a template.
    pub prefix: Option<Arc<str>>,
    /// The `Host` that the upstream sees; `None` keeps the client's.
    pub host: Option<HeaderValue>,
}
