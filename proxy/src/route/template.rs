//! Paths in rules: reading prefixes and templates, which path they match, and what of a path they fix.
//! It does not know hosts, methods or headers.

use std::sync::Arc;

use super::Error;
use super::config::{PathMatch, Segment, Template};
use super::normal;

impl Template {
    /// Reads `/users/{id}` or `/files/{*path}`.
    ///
    /// # Errors
    /// Where it is not a path, not in the form that paths are compared in, or a parameter is not a whole segment, has no
    /// proper name, is repeated, or takes the rest without being last.
    pub fn parse(text: &str) -> Result<Self, Error> {
        let mut segments: Vec<Segment> = Vec::new();
        let parts = text.strip_prefix('/').ok_or(Error::NotAbsolute)?.split('/');
        let count = parts.clone().count();
        for (position, part) in parts.enumerate() {
            let segment = Segment::parse(part)?;
            if let Segment::Rest(name) = &segment
                && position + 1 != count
            {
                return Err(Error::RestNotLast(name.to_string()));
            }
            if let Some(name) = segment.name()
                && segments.iter().any(|other| other.name() == Some(name))
            {
                return Err(Error::Repeated(name.to_owned()));
            }
            segments.push(segment);
        }
        // Braces cannot stand in a path, so the literal parts are checked with a plain name in each parameter's place.
        check_normal(text, |text| text.replace(['{', '}', '*'], "-"))?;
        Ok(Self { text: text.into(), segments })
    }

    /// Whether a path (in its normal form) matches.
    pub fn matches(&self, path: &str) -> bool {
        let Some(mut left) = path.strip_prefix('/').map(Some) else { return false };
        for segment in &self.segments {
            let Some(rest) = left else { return false };
            let (head, tail) = match rest.split_once('/') {
                Some((head, tail)) => (head, Some(tail)),
                None => (rest, None),
            };
            let fits = match segment {
                Segment::Literal(text) => **text == *head,
                Segment::Parameter(_) => !head.is_empty(),
                Segment::Rest(_) => return !rest.is_empty(),
            };
            if !fits {
                return false;
            }
            left = tail;
        }
        left.is_none()
    }

    /// How many bytes of a matching path are the literal segments before the first parameter.
    fn fixed_len(&self) -> usize {
        self.segments
            .iter()
            .map_while(|segment| match segment {
                Segment::Literal(text) => Some(1 + text.len()),
                Segment::Parameter(_) | Segment::Rest(_) => None,
            })
            .sum()
    }

    fn covers(&self, other: &Self) -> bool {
        let mut narrow = other.segments.iter();
        for wide in &self.segments {
            match (wide, narrow.next()) {
                (_, None) => return false,
                (Segment::Rest(_), Some(Segment::Literal(text))) => return !text.is_empty() || narrow.next().is_some(),
                (Segment::Rest(_), Some(_)) => return true,
                (_, Some(Segment::Rest(_))) => return false,
                (Segment::Parameter(_), Some(Segment::Literal(text))) if text.is_empty() => return false,
                (Segment::Parameter(_), Some(_)) => {}
                (Segment::Literal(a), Some(Segment::Literal(b))) if a == b => {}
                (Segment::Literal(_), Some(_)) => return false,
            }
        }
        narrow.next().is_none()
    }
}

impl Segment {
    fn parse(text: &str) -> Result<Self, Error> {
        if !text.contains(['{', '}']) {
            return Ok(Self::Literal(text.into()));
        }
        let inner = text
            .strip_prefix('{')
            .and_then(|text| text.strip_suffix('}'))
            .filter(|inner| !inner.contains(['{', '}']))
            .ok_or_else(|| Error::PartOfSegment(text.to_owned()))?;
        let name = inner.strip_prefix('*').unwrap_or(inner);
        if name.is_empty() || !name.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_') {
            return Err(Error::ParameterName(text.to_owned()));
        }
        let name: Arc<str> = name.into();
        Ok(if inner.starts_with('*') { Self::Rest(name) } else { Self::Parameter(name) })
    }

    fn name(&self) -> Option<&str> {
        match self {
            Self::Literal(_) => None,
            Self::Parameter(name) | Self::Rest(name) => Some(name),
        }
    }
}

impl PathMatch {
    /// Reads the prefix of a prefix match: `/ws`.
    ///
    /// # Errors
    /// Where it is not a path, or not in the form that paths are compared in.
    pub fn prefix(text: &str) -> Result<Self, Error> {
        if !text.starts_with('/') {
            return Err(Error::NotAbsolute);
        }
        check_normal(text, str::to_owned)?;
        Ok(Self::Prefix(text.into()))
    }

    /// Whether a path (in its normal form) matches.
    pub fn matches(&self, path: &str) -> bool {
        match self {
            Self::Any => true,
            Self::Prefix(prefix) => has_prefix(path, prefix),
            Self::Template(template) => template.matches(path),
        }
    }

    /// What is written for `http.route`: the template, or the prefix with `/*`.
    pub fn template_text(&self) -> Arc<str> {
        match self {
            Self::Any => "/*".into(),
            Self::Prefix(prefix) => format!("{}/*", prefix.trim_end_matches('/')).into(),
            Self::Template(template) => template.text.clone(),
        }
    }

    /// How many bytes at the start of a matching path this match fixes.
    pub(super) fn fixed_len(&self) -> usize {
        match self {
            Self::Any => 0,
            Self::Prefix(prefix) => prefix.trim_end_matches('/').len(),
            Self::Template(template) => template.fixed_len(),
        }
    }

    /// Whether every path that `other` matches is matched by this one.
    pub(super) fn covers(&self, other: &Self) -> bool {
        match (self, other) {
            (Self::Any, _) => true,
            (Self::Prefix(wide), Self::Any) => **wide == *"/",
            (Self::Prefix(wide), Self::Prefix(narrow)) => has_prefix(narrow, wide),
            (Self::Prefix(wide), Self::Template(template)) => {
                let fixed = template.text.get(..template.fixed_len()).unwrap_or_default();
                // A parameter follows a slash that the literal segments do not have.
                let open = template.fixed_len() < template.text.len();
                has_prefix(fixed, wide) || (open && wide.strip_suffix('/') == Some(fixed))
            }
            (Self::Template(wide), Self::Template(narrow)) => wide.covers(narrow),
            (Self::Template(_), Self::Any | Self::Prefix(_)) => false,
        }
    }
}

/// Whether `path` begins with whole segments of `prefix`.
fn has_prefix(path: &str, prefix: &str) -> bool {
    path.strip_prefix(prefix).is_some_and(|rest| prefix.ends_with('/') || rest.is_empty() || rest.starts_with('/'))
}

/// A path in a rule that is not normal would never match a request, so it is an error to write one.
fn check_normal(text: &str, plain: impl Fn(&str) -> String) -> Result<(), Error> {
    if text.contains(['?', '#']) {
        return Err(Error::Query);
    }
    let plain = plain(text);
    if !plain.bytes().all(|byte| byte.is_ascii_graphic() && !matches!(byte, b'"' | b'<' | b'>' | b'`' | b'{' | b'}')) {
        return Err(Error::Character);
    }
    let normal = normal::path(&plain)?;
    if normal == *plain { Ok(()) } else { Err(Error::NotNormal(normal.into_owned())) }
}
