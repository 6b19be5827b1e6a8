//! The configuration text as a tree in which every key and value knows where it stands.
//! It knows YAML, but no key of ours and no type that a value should have. There may be secrets in it, so it has no `Debug`.

mod build;

pub use build::{Broken, Reading, read};

/// Where something stands in the text: line and column from 1, columns and length in characters.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Default)]
pub struct Span {
    pub line: usize,
    pub column: usize,
    /// On its first line; what goes on below is not counted.
    pub length: usize,
}

/// A value and its place.
#[derive(Clone)]
pub struct Node {
    /// `routes[0].upstream`; empty for the whole text.
    pub path: String,
    pub span: Span,
    pub value: Value,
    /// Something below was wrong and has been taken out.
    pub pruned: bool,
}

#[derive(Clone)]
pub enum Value {
    /// A key without a value, or `null`.
    Null,
    Scalar(Scalar),
    List(Vec<Node>),
    Map(Vec<Entry>),
    /// Something that has been reported already.
    Broken,
}

/// A text that is not yet a number or a word: what it means is decided by the key it belongs to.
#[derive(Clone)]
pub struct Scalar {
    /// After substitution.
    pub text: String,
    /// As written, before substitution: this is what messages show.
    pub written: String,
    /// Without quotes.
    pub plain: bool,
}

/// A key and its value.
#[derive(Clone)]
pub struct Entry {
    pub key: String,
    pub key_span: Span,
    pub node: Node,
}

// === impl Node ===

impl Node {
    /// The value of a key; `None` where there is no such key or this is no map.
    pub fn get(&self, key: &str) -> Option<&Self> {
        self.entry(key).map(|entry| &entry.node)
    }

    pub fn entry(&self, key: &str) -> Option<&Entry> {
        self.entries().iter().find(|entry| entry.key == key)
    }

    /// An element of a list.
    pub fn item(&self, index: usize) -> Option<&Self> {
        match &self.value {
            Value::List(items) => items.get(index),
            Value::Null | Value::Broken | Value::Scalar(_) | Value::Map(_) => None,
        }
    }

    /// The entries of a map, in order; empty for anything else.
    pub fn entries(&self) -> &[Entry] {
        match &self.value {
            Value::Map(entries) => entries,
            Value::Null | Value::Broken | Value::Scalar(_) | Value::List(_) => &[],
        }
    }

    /// Where to point for something that concerns the whole of it: a map's first key rather than all its lines.
    pub fn mark(&self) -> Span {
        self.entries().first().map_or(self.span, |entry| entry.key_span)
    }

    /// Gives every node its path, this one's being `path`.
    fn name(&mut self, path: String) {
        match &mut self.value {
            Value::Null | Value::Broken | Value::Scalar(_) => {}
            Value::List(items) => {
                for (index, item) in items.iter_mut().enumerate() {
                    item.name(format!("{path}[{index}]"));
                }
            }
            Value::Map(entries) => {
                for entry in entries {
                    entry.node.name(join(&path, &entry.key));
                }
            }
        }
        self.path = path;
    }
}

/// The path of a key below a path.
pub fn join(path: &str, key: &str) -> String {
    if path.is_empty() { key.to_owned() } else { format!("{path}.{key}") }
}
