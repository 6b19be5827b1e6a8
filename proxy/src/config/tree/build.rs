//! From YAML events to the tree: anchors and aliases, duplicate keys, and bounds on what a text may cost.
//! It decides nothing about keys and values.

use std::collections::{HashMap, HashSet};

use saphyr_parser::{Event, Parser, ScalarStyle, ScanError, Span as Marks};

use super::{Entry, Node, Scalar, Span, Value};
use crate::config::diagnostic::Diagnostic;
use crate::config::environment;

/// Longer texts are refused before they are read.
const MAX_TEXT: usize = 4 << 20;
/// Deeper nesting is refused; our own keys need eight levels, a plugin's configuration a few more.
const MAX_DEPTH: usize = 64;
/// So many nodes may a text have, aliases written out: more is an alias bomb, not a configuration.
const MAX_NODES: usize = 100_000;

/// What came of reading: the tree as far as it goes, and all that is wrong with the text as YAML.
pub struct Reading {
    pub root: Node,
    pub faults: Vec<Diagnostic>,
    /// Where reading had to end before the end of the text.
    pub broken: Option<Broken>,
}

/// Where reading had to end.
pub struct Broken {
    /// The last that could be read.
    pub last: Span,
    /// The keys that were open, outermost first; empty for the elements of a list.
    pub keys: Vec<String>,
}

/// Reads a text; `environment` gives the values of variables.
pub fn read(text: &str, environment: &dyn Fn(&str) -> Option<String>) -> Reading {
    let mut builder = Builder::new(environment);
    let outcome = if text.len() > MAX_TEXT {
        Err(Diagnostic::error(Span::default(), "", format!("the file is larger than {} MiB", MAX_TEXT >> 20)))
    } else {
        builder.events(text)
    };
    let broken = outcome.is_err().then(|| Broken { last: builder.last, keys: builder.keys() });
    builder.faults.extend(outcome.err());
    let mut root = builder.finish();
    root.name(String::new());
    Reading { root, faults: builder.faults, broken }
}

struct Builder<'a> {
    environment: &'a dyn Fn(&str) -> Option<String>,
    /// The lists and maps that are open, outermost first.
    open: Vec<Frame>,
    /// Finished anchors with the number of nodes below them.
    anchors: HashMap<usize, (Node, usize)>,
    root: Option<Node>,
    last: Span,
    nodes: usize,
    faults: Vec<Diagnostic>,
}

struct Frame {
    span: Span,
    anchor: usize,
    /// How many nodes there were before this one.
    before: usize,
    content: Content,
}

enum Content {
    List(Vec<Node>),
    Map {
        entries: Vec<Entry>,
        seen: HashSet<String>,
        /// A key that waits for its value; `None` inside when the key itself was wrong and its value is left out.
        pending: Option<Option<(String, Span)>>,
    },
}

// === impl Builder ===

impl<'a> Builder<'a> {
    fn new(environment: &'a dyn Fn(&str) -> Option<String>) -> Self {
        Self {
            environment,
            open: Vec::new(),
            anchors: HashMap::new(),
            root: None,
            last: Span::default(),
            nodes: 0,
            faults: Vec::new(),
        }
    }

    /// Takes the text in; the error is the one that makes it impossible to go on.
    fn events(&mut self, text: &str) -> Result<(), Diagnostic> {
        let text = text.strip_prefix('\u{feff}').unwrap_or(text);
        let lines: Vec<&str> = text.lines().collect();
        let mut parser = Parser::new_from_str(text);
        let mut documents = 0;
        while let Some(event) = parser.next_event() {
            let (event, marks) = event.map_err(|fault| syntax(&fault, &lines))?;
            let mut span = span(&marks);
            if let Event::Scalar(_, ScalarStyle::SingleQuoted | ScalarStyle::DoubleQuoted, ..) = &event {
                // The parser counts what follows the closing quote, too.
                let line = span.line.checked_sub(1).and_then(|line| lines.get(line)).copied().unwrap_or_default();
                span.length = quoted(line.chars().skip(span.column - 1)).unwrap_or(usize::MAX);
            }
            self.last = span;
            match event {
                Event::DocumentStart(_) => {
                    documents += 1;
                    if documents > 1 {
                        let path = self.path();
                        return Err(Diagnostic::error(span, path, "a configuration is one document")
                            .help("`---` begins a second one here"));
                    }
                }
                Event::Scalar(value, style, anchor, tag) => {
                    self.tag(span, tag.is_some());
                    self.count(1, span)?;
                    let plain = style == ScalarStyle::Plain;
                    self.scalar(&value, plain, span, anchor);
                }
                Event::SequenceStart(anchor, tag) => {
                    self.tag(span, tag.is_some());
                    self.enter(Content::List(Vec::new()), anchor, span)?;
                }
                Event::MappingStart(anchor, tag) => {
                    self.tag(span, tag.is_some());
                    let content = Content::Map { entries: Vec::new(), seen: HashSet::new(), pending: None };
                    self.enter(content, anchor, span)?;
                }
                Event::SequenceEnd | Event::MappingEnd => self.leave(),
                Event::Alias(anchor) => {
                    let Some((node, size)) = self.anchors.get(&anchor).cloned() else {
                        return Err(Diagnostic::error(
                            span,
                            self.path(),
                            "an alias cannot stand inside its own anchor",
                        ));
                    };
                    self.count(size, span)?;
                    if self.open.len() + depth(&node) > MAX_DEPTH {
                        return Err(self.too_deep(span));
                    }
                    self.add(node, span);
                }
                Event::Nothing | Event::StreamStart | Event::StreamEnd | Event::DocumentEnd => {}
            }
        }
        Ok(())
    }

    /// Closes what is still open, so that what was read before a fault can be used.
    fn finish(&mut self) -> Node {
        while !self.open.is_empty() {
            self.leave();
        }
        self.root.take().unwrap_or(Node {
            path: String::new(),
            span: Span { line: 1, column: 1, length: 1 },
            value: Value::Null,
            pruned: false,
        })
    }

    fn enter(&mut self, content: Content, anchor: usize, span: Span) -> Result<(), Diagnostic> {
        if self.open.len() >= MAX_DEPTH {
            return Err(self.too_deep(span));
        }
        let before = self.nodes;
        self.count(1, span)?;
        self.open.push(Frame { span, anchor, before, content });
        Ok(())
    }

    fn leave(&mut self) {
        let Some(frame) = self.open.pop() else { return };
        let value = match frame.content {
            Content::List(items) => Value::List(items),
            Content::Map { entries, .. } => Value::Map(entries),
        };
        let node = Node { path: String::new(), span: frame.span, value, pruned: false };
        if frame.anchor != 0 {
            self.anchors.insert(frame.anchor, (node.clone(), self.nodes - frame.before));
        }
        self.add(node, frame.span);
    }

    fn scalar(&mut self, written: &str, plain: bool, span: Span, anchor: usize) {
        if self.expects_key() {
            self.key(written, span);
            return;
        }
        let value = if plain && matches!(written, "" | "~" | "null" | "Null" | "NULL") {
            Value::Null
        } else {
            match environment::substitute(written, self.environment) {
                Ok(text) => Value::Scalar(Scalar { text, written: written.to_owned(), plain }),
                Err(fault) => {
                    let exact = Span {
                        line: span.line,
                        column: span.column + usize::from(!plain) + fault.offset,
                        length: fault.length,
                    };
                    let place = if written.contains('\n') { span } else { exact };
                    let path = self.path();
                    self.faults.push(Diagnostic::error(place, path, fault.message).help(fault.help));
                    Value::Broken
                }
            }
        };
        let node = Node { path: String::new(), span, value, pruned: false };
        if anchor != 0 {
            self.anchors.insert(anchor, (node.clone(), 1));
        }
        self.add(node, span);
    }

    fn expects_key(&self) -> bool {
        matches!(self.open.last(), Some(Frame { content: Content::Map { pending: None, .. }, .. }))
    }

    fn key(&mut self, key: &str, span: Span) {
        let path = super::join(&self.path(), key);
        let Some(Frame { content: Content::Map { pending, seen, entries }, .. }) = self.open.last_mut() else { return };
        if seen.insert(key.to_owned()) {
            *pending = Some(Some((key.to_owned(), span)));
        } else {
            *pending = Some(None);
            let first = entries.iter().find(|entry| entry.key == key).map_or(0, |entry| entry.key_span.line);
            self.faults.push(
                Diagnostic::error(span, path, format!("duplicate key `{key}`"))
                    .help(format!("it is already given in line {first}")),
            );
        }
    }

    /// Puts a finished node where it belongs. `span` is where it is used, which for an alias is not where it stands.
    fn add(&mut self, node: Node, span: Span) {
        if self.expects_key() {
            let path = self.path();
            self.faults.push(Diagnostic::error(span, path, "a key must be a word, not a list, a map or an alias"));
            if let Some(Frame { content: Content::Map { pending, .. }, .. }) = self.open.last_mut() {
                *pending = Some(None);
            }
            return;
        }
        match self.open.last_mut() {
            None => self.root = Some(node),
            Some(Frame { content: Content::List(items), .. }) => items.push(node),
            Some(Frame { content: Content::Map { entries, pending, .. }, .. }) => {
                if let Some(Some((key, key_span))) = pending.take() {
                    entries.push(Entry { key, key_span, node });
                }
            }
        }
    }

    fn tag(&mut self, span: Span, present: bool) {
        if present {
            let path = self.path();
            self.faults.push(
                Diagnostic::error(span, path, "tags are not used here").help("what a value means follows from its key"),
            );
        }
    }

    fn count(&mut self, more: usize, span: Span) -> Result<(), Diagnostic> {
        self.nodes += more;
        if self.nodes <= MAX_NODES {
            return Ok(());
        }
        Err(Diagnostic::error(span, self.path(), format!("more than {MAX_NODES} values"))
            .help("aliases count as often as they are used"))
    }

    fn too_deep(&self, span: Span) -> Diagnostic {
        Diagnostic::error(span, self.path(), format!("nested more than {MAX_DEPTH} levels deep"))
    }

    /// The keys that are open, outermost first; empty for the elements of a list.
    fn keys(&self) -> Vec<String> {
        let key = |frame: &Frame| match &frame.content {
            Content::List(_) => Some(String::new()),
            Content::Map { pending: Some(Some((key, _))), .. } => Some(key.clone()),
            Content::Map { .. } => None,
        };
        self.open.iter().filter_map(key).collect()
    }

    /// The path of what comes next.
    fn path(&self) -> String {
        let mut path = String::new();
        for frame in &self.open {
            match &frame.content {
                Content::List(items) => path = format!("{path}[{}]", items.len()),
                Content::Map { pending: Some(Some((key, _))), .. } => path = super::join(&path, key),
                Content::Map { .. } => {}
            }
        }
        path
    }
}

fn span(marks: &Marks) -> Span {
    let length = if marks.end.line() == marks.start.line() {
        marks.end.index().saturating_sub(marks.start.index())
    } else {
        usize::MAX
    };
    Span { line: marks.start.line(), column: marks.start.col() + 1, length: length.max(1) }
}

/// How many characters a quoted text has, quotes included, if it ends in this line.
fn quoted(mut line: impl Iterator<Item = char>) -> Option<usize> {
    let quote = line.next()?;
    let mut length = 1;
    let mut line = line.peekable();
    while let Some(character) = line.next() {
        length += 1;
        match character {
            '\\' if quote == '"' => length += usize::from(line.next().is_some()),
            '\'' if quote == '\'' && line.next_if_eq(&'\'').is_some() => length += 1,
            end if end == quote => return Some(length),
            _ => {}
        }
    }
    None
}

fn syntax(fault: &ScanError, lines: &[&str]) -> Diagnostic {
    let mark = fault.marker();
    let mut span = Span { line: mark.line(), column: mark.col() + 1, length: 1 };
    // What is missing at the end of the text is missing after its last word.
    if let Some((last, line)) = lines.iter().enumerate().rfind(|(_, line)| !line.trim().is_empty())
        && span.line > last + 1
    {
        span = Span { line: last + 1, column: line.trim_end().chars().count() + 1, length: 1 };
    }
    let diagnostic = Diagnostic::error(span, "", format!("not valid YAML: {}", fault.info()));
    let line = span.line.checked_sub(1).and_then(|line| lines.get(line)).copied().unwrap_or_default();
    let before: String = line.chars().take(span.column).collect();
    if before.ends_with("${") || before.ends_with('$') {
        return diagnostic.help("between brackets a variable stands in quotes: `\"${NAME}\"`");
    }
    diagnostic
}

fn depth(node: &Node) -> usize {
    match &node.value {
        Value::Null | Value::Broken | Value::Scalar(_) => 0,
        Value::List(items) => 1 + items.iter().map(depth).max().unwrap_or(0),
        Value::Map(entries) => 1 + entries.iter().map(|entry| depth(&entry.node)).max().unwrap_or(0),
    }
}
