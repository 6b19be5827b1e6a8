//! Names that are declared and names that refer to them.
//! It does not know what they name.

use std::collections::HashMap;

use super::{At, Context};
use crate::config::tree::Node;
use crate::config::validate::{closest, list, shorten};

/// The names of one kind. A name whose thing was unsound is known, but leads nowhere.
pub(super) struct Names {
    declared: Vec<String>,
    found: HashMap<String, usize>,
}

impl Names {
    /// The keys of a map in the text.
    pub(super) fn of(root: &Node, key: &str) -> Self {
        let declared = root.get(key).map(Node::entries).unwrap_or_default();
        Self { declared: declared.iter().map(|entry| entry.key.clone()).collect(), found: HashMap::new() }
    }

    /// Gives each name the index of its thing.
    pub(super) fn found<'a>(mut self, names: impl Iterator<Item = &'a str>) -> Self {
        for (index, name) in names.enumerate() {
            if !self.declared.iter().any(|declared| declared == name) {
                self.declared.push(name.to_owned());
            }
            self.found.entry(name.to_owned()).or_insert(index);
        }
        self
    }

    pub(super) fn declare(&mut self, name: String) {
        if !self.declared.contains(&name) {
            self.declared.push(name);
        }
    }

    /// The index of a thing; a name that is not declared is an error at `at`.
    pub(super) fn find(&self, kind: &str, name: &str, at: At<'_>, context: &mut Context<'_>) -> Option<usize> {
        if let Some(index) = self.found.get(name) {
            return Some(*index);
        }
        if !self.declared.iter().any(|declared| declared == name) {
            let known: Vec<&str> = self.declared.iter().map(String::as_str).collect();
            let help = closest(name, &known).unwrap_or_else(|| match known.as_slice() {
                [] => format!("no {kind} is declared"),
                some => format!("declared: {}", list(some)),
            });
            context.error(at, format!("unknown {kind} `{}`", shorten(name)), help);
        }
        None
    }

    /// The indices of a list of things; the same one twice is an error.
    pub(super) fn find_all(&self, kind: &str, names: &[String], at: At<'_>, context: &mut Context<'_>) -> Vec<usize> {
        let mut indices = Vec::with_capacity(names.len());
        for (position, name) in names.iter().enumerate() {
            let Some(index) = self.find(kind, name, at.item(position), context) else { continue };
            if indices.contains(&index) {
                context.error(at.item(position), format!("{kind} `{name}` is listed twice"), "once is enough");
            } else {
                indices.push(index);
            }
        }
        indices
    }
}
