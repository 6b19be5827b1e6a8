//! Routes that can never match, since one before them takes all of their requests.
//! It finds what one single route hides, not what several hide together.

use super::{At, Context};
use crate::config::model::Config;
use crate::route::config::{Host, Match, PathMatch, Segment, Template};

pub(super) fn check(config: &Config, root: At<'_>, context: &mut Context<'_>) {
    for (index, route) in config.routes.iter().enumerate() {
        let before = config.routes.iter().take(index).find(|before| shadows(&before.matcher, &route.matcher));
        if let Some(before) = before {
            let at = root.key("routes").item(index);
            let help = format!("route `{}` before it takes all of its requests", before.name);
            context.warn(at, format!("route `{}` can never match", route.name), help);
        }
    }
}

/// Whether every request that `later` matches is matched by `earlier`, too.
pub(super) fn shadows(earlier: &Match, later: &Match) -> bool {
    covers(&earlier.listeners, &later.listeners, |a, b| a == b)
        && covers(&earlier.methods, &later.methods, |a, b| a == b)
        && covers(&earlier.hosts, &later.hosts, host_covers)
        && path_covers(&earlier.path, &later.path)
        && earlier.headers.iter().all(|(name, value)| {
            later.headers.iter().any(|(other, theirs)| other == name && (value.is_none() || value == theirs))
        })
}

/// Whether a list of alternatives, where none means all, takes in another one.
fn covers<T>(earlier: &[T], later: &[T], covers: impl Fn(&T, &T) -> bool) -> bool {
    earlier.is_empty() || !later.is_empty() && later.iter().all(|b| earlier.iter().any(|a| covers(a, b)))
}

fn host_covers(earlier: &Host, later: &Host) -> bool {
    match (earlier, later) {
        (Host::Exact(a), Host::Exact(b)) => a == b,
        (Host::Wildcard(a), Host::Exact(b) | Host::Wildcard(b)) => {
            b.ends_with(&**a) && (b.len() > a.len() || is_wildcard(later))
        }
        (Host::Exact(_), Host::Wildcard(_)) => false,
    }
}

fn is_wildcard(host: &Host) -> bool {
    matches!(host, Host::Wildcard(_))
}

fn path_covers(earlier: &PathMatch, later: &PathMatch) -> bool {
    match (earlier, later) {
        (PathMatch::Any, _) => true,
        (PathMatch::Prefix(_) | PathMatch::Template(_), PathMatch::Any) => false,
        (PathMatch::Prefix(a), PathMatch::Prefix(b)) => prefix_covers(&segments(a), &segments(b)),
        (PathMatch::Prefix(a), PathMatch::Template(b)) => {
            let fixed: Vec<&str> = b.segments.iter().map_while(literal).collect();
            prefix_covers(&segments(a), &fixed)
        }
        (PathMatch::Template(a), PathMatch::Template(b)) => template_covers(a, b),
        // A template, even `/a/{*rest}`, wants one segment more than the prefix.
        (PathMatch::Template(_), PathMatch::Prefix(_)) => false,
    }
}

fn segments(path: &str) -> Vec<&str> {
    path.split('/').skip(1).collect()
}

fn literal(segment: &Segment) -> Option<&str> {
    match segment {
        Segment::Literal(text) => Some(text),
        Segment::Parameter(_) | Segment::Rest(_) => None,
    }
}

fn prefix_covers(earlier: &[&str], later: &[&str]) -> bool {
    later.len() >= earlier.len() && earlier.iter().zip(later).all(|(a, b)| a == b)
}

fn template_covers(earlier: &Template, later: &Template) -> bool {
    let mut theirs = later.segments.iter();
    for segment in &earlier.segments {
        let other = theirs.next();
        let covered = match (segment, other) {
            // `{*rest}` wants something that is there; an empty last segment is nothing.
            (Segment::Rest(_), Some(Segment::Literal(text))) => return !text.is_empty(),
            (Segment::Rest(_), Some(_)) => return true,
            (Segment::Parameter(_), Some(Segment::Parameter(_))) => true,
            (Segment::Parameter(_), Some(Segment::Literal(text))) => !text.is_empty(),
            (Segment::Literal(a), Some(Segment::Literal(b))) => a == b,
            (Segment::Literal(_) | Segment::Parameter(_) | Segment::Rest(_), Some(_) | None) => false,
        };
        if !covered {
            return false;
        }
    }
    theirs.next().is_none()
}

#[cfg(test)]
mod tests {
    use super::path_covers;
    use crate::config::syntax::{PathPrefix, Syntax};
    use crate::route::config::{PathMatch, Template};

    fn path(text: &str) -> PathMatch {
        match text.strip_suffix("...") {
            Some("") => PathMatch::Any,
            Some(prefix) => PathMatch::Prefix(PathPrefix::parse(prefix).unwrap().0),
            None => PathMatch::Template(Template::parse(text).unwrap()),
        }
    }

    #[test]
    fn what_hides_what() {
        for (earlier, later, hidden) in [
            ("...", "/a", true),
            ("/a", "...", false),
            ("/a...", "/a/b...", true),
            ("/a...", "/a", true),
            ("/a...", "/ab", false),
            ("/a/b...", "/a...", false),
            ("/a...", "/a/{id}", true),
            ("/a/b...", "/a/{id}", false),
            ("/a/{id}", "/a/b", true),
            ("/a/b", "/a/{id}", false),
            ("/a/{id}", "/a/{name}", true),
            ("/a/{id}", "/a/{id}/b", false),
            ("/a/{*rest}", "/a/{id}/b", true),
            ("/a/{*rest}", "/a", false),
            ("/a/{*rest}", "/a/", false),
            ("/a/{*rest}", "/a...", false),
            ("/{x}/b", "/a/{y}", false),
            ("/a", "/a/", false),
        ] {
            assert_eq!(path_covers(&path(earlier), &path(later)), hidden, "{earlier} before {later}");
        }
    }
}
