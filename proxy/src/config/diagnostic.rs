//! What is wrong with a configuration, each with its place, and how that is shown.
//! It does not know how the fault was found.

mod render;

use std::collections::HashMap;
use std::fmt;
use std::sync::Arc;

use serde::Serialize;
use serde::ser::SerializeStruct;

use super::tree::Span;

/// One thing that is wrong.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Diagnostic {
    pub severity: Severity,
    /// `None` when it concerns no line of the text, as when there is none.
    pub span: Option<Span>,
    /// The key it is about, `routes[0].upstream`; empty for the whole text.
    pub path: String,
    pub message: String,
    /// What is allowed, or what was probably meant.
    pub help: Option<String>,
    /// The text that `span` points into.
    source: Option<Arc<Source>>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Severity {
    Error,
    Warning,
}

/// A configuration text and its name, with the places that no message may show.
#[derive(Default, PartialEq, Eq)]
pub struct Source {
    pub file: String,
    lines: Vec<String>,
    /// Secret stretches by line, as columns from 0, end exclusive.
    secrets: HashMap<usize, Vec<(usize, usize)>>,
}

/// Everything that is wrong, in the order of the text. Shown, it is what `tidegate check` prints.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Diagnostics(Vec<Diagnostic>);

// === impl Diagnostic ===

impl Diagnostic {
    /// Something that makes the configuration unusable.
    pub fn error(span: Span, path: impl Into<String>, message: impl Into<String>) -> Self {
        Self::new(Severity::Error, Some(span), path.into(), message.into())
    }

    /// Something that is probably not meant.
    pub fn warning(span: Span, path: impl Into<String>, message: impl Into<String>) -> Self {
        Self::new(Severity::Warning, Some(span), path.into(), message.into())
    }

    /// An error that has no place in a text.
    pub fn without_place(message: impl Into<String>) -> Self {
        Self::new(Severity::Error, None, String::new(), message.into())
    }

    /// Says what is allowed, or what was probably meant.
    #[must_use]
    pub fn help(mut self, help: impl Into<String>) -> Self {
        self.help = Some(help.into());
        self
    }

    /// The file it is about, where there is one.
    pub fn file(&self) -> Option<&str> {
        self.source.as_ref().map(|source| source.file.as_str())
    }

    pub(super) fn locate(&mut self, source: &Arc<Source>) {
        self.source = Some(source.clone());
    }

    fn new(severity: Severity, span: Option<Span>, path: String, message: String) -> Self {
        Self { severity, span, path, message, help: None, source: None }
    }
}

impl fmt::Display for Diagnostic {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        render::render(self, self.source.as_deref(), f)
    }
}

/// For the admin port and for tools: severity, file, line, column, path, message, help.
impl Serialize for Diagnostic {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut object = serializer.serialize_struct("Diagnostic", 7)?;
        object.serialize_field("severity", self.severity.as_str())?;
        object.serialize_field("file", &self.file())?;
        object.serialize_field("line", &self.span.map(|span| span.line))?;
        object.serialize_field("column", &self.span.map(|span| span.column))?;
        object.serialize_field("path", &self.path)?;
        object.serialize_field("message", &self.message)?;
        object.serialize_field("help", &self.help)?;
        object.end()
    }
}

// === impl Severity ===

impl Severity {
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Error => "error",
            Self::Warning => "warning",
        }
    }
}

// === impl Source ===

impl Source {
    pub fn new(file: &str, text: &str) -> Self {
        let text = text.strip_prefix('\u{feff}').unwrap_or(text);
        Self { file: file.to_owned(), lines: text.lines().map(str::to_owned).collect(), secrets: HashMap::new() }
    }

    /// From now on no message shows what stands there. Of a value over several lines, nothing of those lines is shown.
    pub fn hide(&mut self, span: Span) {
        let from = span.column.saturating_sub(1);
        self.secrets.entry(span.line).or_default().push((from, from.saturating_add(span.length)));
    }

    /// Hides all that comes after a place.
    pub(super) fn hide_rest(&mut self, after: Span) {
        self.hide(Span { column: after.column.saturating_add(after.length), length: usize::MAX, ..after });
        for line in after.line + 1..=self.lines.len() {
            self.hide(Span { line, column: 1, length: usize::MAX });
        }
    }

    /// Whether a word stands in the line of a place.
    pub(super) fn mentions(&self, word: &str, at: Span) -> bool {
        at.line.checked_sub(1).and_then(|line| self.lines.get(line)).is_some_and(|line| line.contains(word))
    }

    /// A line, counted from 1, secrets starred out.
    fn line(&self, line: usize) -> Option<String> {
        let text = self.lines.get(line.checked_sub(1)?)?;
        let Some(secrets) = self.secrets.get(&line) else { return Some(text.clone()) };
        let hidden = |column: usize| secrets.iter().any(|&(from, to)| (from..to).contains(&column));
        Some(text.chars().enumerate().map(|(i, c)| if hidden(i) && !c.is_whitespace() { '*' } else { c }).collect())
    }
}

/// Only the name: there may be secrets in the text.
impl fmt::Debug for Source {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Source").field("file", &self.file).finish_non_exhaustive()
    }
}

// === impl Diagnostics ===

impl Diagnostics {
    /// Sorts by place; what is said twice about one place is said once.
    pub fn new(mut all: Vec<Diagnostic>) -> Self {
        all.sort_by(|a, b| (a.span, a.severity, &a.path).cmp(&(b.span, b.severity, &b.path)));
        all.dedup_by(|a, b| a.span == b.span && a.message == b.message);
        Self(all)
    }

    pub fn iter(&self) -> std::slice::Iter<'_, Diagnostic> {
        self.0.iter()
    }

    pub fn errors(&self) -> usize {
        self.0.iter().filter(|diagnostic| diagnostic.severity == Severity::Error).count()
    }

    pub fn warnings(&self) -> usize {
        self.0.len() - self.errors()
    }

    /// `2 errors, 1 warning`.
    pub fn summary(&self) -> String {
        let count = |count: usize, word: &str| format!("{count} {word}{}", if count == 1 { "" } else { "s" });
        match (self.errors(), self.warnings()) {
            (errors, 0) => count(errors, "error"),
            (0, warnings) => count(warnings, "warning"),
            (errors, warnings) => format!("{}, {}", count(errors, "error"), count(warnings, "warning")),
        }
    }

    pub fn into_vec(self) -> Vec<Diagnostic> {
        self.0
    }
}

impl fmt::Display for Diagnostics {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, diagnostic) in self.0.iter().enumerate() {
            if index > 0 {
                writeln!(f)?;
            }
            write!(f, "{diagnostic}")?;
        }
        Ok(())
    }
}

impl std::error::Error for Diagnostics {}

impl Serialize for Diagnostics {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        self.0.serialize(serializer)
    }
}

impl From<Diagnostic> for Diagnostics {
    fn from(diagnostic: Diagnostic) -> Self {
        Self(vec![diagnostic])
    }
}
