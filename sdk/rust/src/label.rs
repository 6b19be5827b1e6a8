//! Closed sets of label values. A value outside its set counts as `other`, so a client can never add a series.
//! It does not know the metrics that use it.

use std::fmt;

use crate::Bytes;

/// The text of every label that is in no set.
pub(crate) const OTHER: &str = "other";

/// A closed set of values for one label. Made by [`Define::label_set`](crate::Define::label_set); free to copy.
#[derive(Clone, Copy, Debug)]
pub struct LabelSet(&'static Values);

/// A value of a [`LabelSet`]. Free to copy, and can be kept in the state of an exchange.
#[derive(Clone, Copy, Debug)]
pub struct Label {
    set: i32,
    index: u32,
    text: &'static str,
}

#[derive(Debug)]
struct Values {
    number: i32,
    /// By index.
    texts: Box<[&'static str]>,
    /// Indices, in the order of their texts.
    sorted: Box<[(&'static str, u32)]>,
}

/// What [`LabelSet::get`] can look up: text or bytes, or an `Option` of them.
pub trait Lookup {
    /// The bytes to look up; `None` counts as `other`.
    fn lookup(&self) -> Option<&[u8]>;
}

// === impl LabelSet ===

impl LabelSet {
    /// The set with this number. It lives as long as the instance, which is why it may leak: labels stay plain values.
    pub(crate) fn new(number: i32, texts: Vec<String>) -> Self {
        let texts: Box<[&'static str]> = texts.into_iter().map(|text| &*text.leak()).collect();
        let mut sorted: Box<[_]> = texts.iter().copied().zip(0..).collect();
        sorted.sort_unstable();
        Self(Box::leak(Box::new(Values { number, texts, sorted })))
    }

    /// The label for a value, or [`LabelSet::other`] when the set does not have it. Allocates nothing.
    pub fn get(&self, value: impl Lookup) -> Label {
        let Some(value) = value.lookup() else { return self.other() };
        let found = self.0.sorted.binary_search_by(|(text, _)| text.as_bytes().cmp(value));
        match found.ok().and_then(|at| self.0.sorted.get(at)) {
            Some(&(text, index)) => Label { set: self.0.number, index, text },
            None => self.other(),
        }
    }

    /// The label `other`.
    pub fn other(&self) -> Label {
        Label { set: self.0.number, index: self.count(), text: OTHER }
    }

    /// The values, without `other`.
    pub fn values(&self) -> &'static [&'static str] {
        &self.0.texts
    }

    pub(crate) fn number(&self) -> i32 {
        self.0.number
    }

    pub(crate) fn count(&self) -> u32 {
        u32::try_from(self.0.texts.len()).unwrap_or(u32::MAX)
    }
}

// === impl Label ===

impl Label {
    /// The value.
    pub const fn as_str(&self) -> &'static str {
        self.text
    }

    pub(crate) const fn set(&self) -> i32 {
        self.set
    }

    pub(crate) const fn index(&self) -> u32 {
        self.index
    }
}

impl PartialEq for Label {
    fn eq(&self, other: &Self) -> bool {
        (self.set, self.index) == (other.set, other.index)
    }
}

impl Eq for Label {}

impl PartialEq<&str> for Label {
    fn eq(&self, other: &&str) -> bool {
        self.text == *other
    }
}

impl fmt::Display for Label {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.text)
    }
}

// === impl Lookup ===

impl Lookup for str {
    fn lookup(&self) -> Option<&[u8]> {
        Some(self.as_bytes())
    }
}

impl Lookup for String {
    fn lookup(&self) -> Option<&[u8]> {
        Some(self.as_bytes())
    }
}

impl Lookup for [u8] {
    fn lookup(&self) -> Option<&[u8]> {
        Some(self)
    }
}

impl Lookup for Bytes {
    fn lookup(&self) -> Option<&[u8]> {
        Some(self)
    }
}

impl<T: Lookup + ?Sized> Lookup for &T {
    fn lookup(&self) -> Option<&[u8]> {
        T::lookup(self)
    }
}

impl<T: Lookup> Lookup for Option<T> {
    fn lookup(&self) -> Option<&[u8]> {
        self.as_ref().and_then(Lookup::lookup)
    }
}
