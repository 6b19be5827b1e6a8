//! The path that the upstream sees.
//! It sets no header: [`Rewrite::host`] is for the exchange to apply.

use std::borrow::Cow;

use http::uri::{InvalidUri, PathAndQuery};

use super::config::{PathMatch, Rewrite};

impl Rewrite {
    /// The upstream's path for a `path` (in its normal form) that `matched` accepted.
    ///
    /// The prefix takes the place of what the match fixed; with a match of any path it stands before the whole path.
    pub fn path<'a>(&self, matched: &PathMatch, path: &'a str) -> Cow<'a, str> {
        let Some(prefix) = &self.prefix else { return Cow::Borrowed(path) };
        let rest = path.get(matched.fixed_len()..).unwrap_or_default();
        let joined = format!("{}{rest}", prefix.trim_end_matches('/'));
        if joined.is_empty() { Cow::Borrowed("/") } else { Cow::Owned(joined) }
    }

    /// The upstream's request target: [`Rewrite::path`] with the query as it came.
    ///
    /// # Errors
    /// Where the result is no request target; a checked prefix never leads there.
    pub fn target(&self, matched: &PathMatch, path: &str, query: Option<&str>) -> Result<PathAndQuery, InvalidUri> {
        let path = self.path(matched, path);
        match query {
            Some(query) => PathAndQuery::from_maybe_shared(bytes::Bytes::from(format!("{path}?{query}"))),
            None => PathAndQuery::try_from(&*path),
        }
    }
}
