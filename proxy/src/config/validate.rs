//! The walk of a text's tree along the schema: unknown keys, wrong kinds, missing keys, values out of range, all of them.
//! It knows no key by name; what it hands on is the part of the tree that is sound.

mod value;

use serde_json::Value as Json;

use super::diagnostic::Diagnostic;
use super::tree::{self, Entry, Node, Span, Value};
use value::{free, scalar};

/// The sound part of a tree and what it says.
pub struct Sound {
    pub node: Node,
    pub json: Json,
}

/// Walks a whole configuration. Its top level is always given back, whatever is missing in it.
pub fn validate(root: &Node, schema: &Json, faults: &mut Vec<Diagnostic>) -> Sound {
    let empty = Node { value: Value::Map(Vec::new()), ..root.clone() };
    let mut walk = Walk { faults };
    let map = match root.value {
        Value::Map(_) | Value::Broken => root,
        Value::Null => &empty,
        Value::Scalar(_) | Value::List(_) => {
            walk.faults.push(Diagnostic::error(root.span, "", "a configuration is a map from keys to values"));
            return Sound { node: empty, json: Json::Object(serde_json::Map::new()) };
        }
    };
    walk.map(map, schema, root.mark()).0
}

/// The places of secret values, by the schema: for texts that are wrong, too.
pub fn secrets(node: &Node, schema: &Json, found: &mut Vec<Span>) {
    if schema.get("writeOnly").is_some() {
        everything(node, found);
        return;
    }
    match &node.value {
        Value::Null | Value::Broken | Value::Scalar(_) => {}
        Value::List(items) => {
            if let Some(schema) = schema.get("items") {
                items.iter().for_each(|item| secrets(item, schema, found));
            }
        }
        Value::Map(entries) => {
            for entry in entries {
                if let Some(schema) = property(schema, &entry.key) {
                    secrets(&entry.node, schema, found);
                }
            }
        }
    }
}

/// All that stands in a node, if it is not what it should be.
fn everything(node: &Node, found: &mut Vec<Span>) {
    found.push(node.span);
    match &node.value {
        Value::Null | Value::Broken | Value::Scalar(_) => {}
        Value::List(items) => items.iter().for_each(|item| everything(item, found)),
        Value::Map(entries) => {
            for entry in entries {
                found.push(entry.key_span);
                everything(&entry.node, found);
            }
        }
    }
}

/// Whether what stands at these keys is secret itself.
pub fn is_secret(keys: &[String], schema: &Json) -> bool {
    let mut schema = schema;
    for key in keys {
        let below = if key.is_empty() { schema.get("items") } else { property(schema, key) };
        match below {
            Some(below) => schema = below,
            None => return false,
        }
    }
    let values = schema.get("additionalProperties").unwrap_or(schema);
    schema.get("writeOnly").is_some() || values.get("writeOnly").is_some()
}

/// Whether there can be something secret below a key of the top level.
pub fn holds_secrets(key: &str, schema: &Json) -> bool {
    fn any(schema: &Json) -> bool {
        match schema {
            Json::Object(object) => object.contains_key("writeOnly") || object.values().any(any),
            Json::Array(items) => items.iter().any(any),
            _ => false,
        }
    }
    property(schema, key).is_some_and(any)
}

/// What a message calls a value.
fn kind(node: &Node) -> &'static str {
    match node.value {
        Value::Null => "nothing",
        Value::Broken => "something else",
        Value::Scalar(_) => "a single value",
        Value::List(_) => "a list",
        Value::Map(_) => "a map",
    }
}

/// The schema of a key: of its own, or that of all keys.
fn property<'a>(schema: &'a Json, key: &str) -> Option<&'a Json> {
    let own = schema.get("properties").and_then(|properties| properties.get(key));
    own.or_else(|| schema.get("additionalProperties").filter(|values| values.is_object()))
}

struct Walk<'a> {
    faults: &'a mut Vec<Diagnostic>,
}

// === impl Walk ===

impl Walk<'_> {
    /// Walks one value; `None` when it is of no use. `mark` is where its key stands.
    fn value(&mut self, node: &Node, schema: &Json, mark: Span) -> Option<Sound> {
        if let Value::Broken = node.value {
            return None;
        }
        if let Some(choices) = schema.get("anyOf").and_then(Json::as_array) {
            return self.choice(node, choices, mark);
        }
        match kind_of(schema) {
            Kind::Free => {
                let json = free(node)?;
                Some(Sound { node: node.clone(), json })
            }
            _ if matches!(node.value, Value::Null) => {
                let help = "give it a value, or leave the key out; is what follows indented enough?";
                self.error(mark, node, "a key without a value".to_owned(), Some(help.to_owned()));
                None
            }
            Kind::Map => match node.value {
                Value::Map(_) => {
                    let (sound, usable) = self.map(node, schema, mark);
                    usable.then_some(sound)
                }
                Value::Null | Value::Broken | Value::Scalar(_) | Value::List(_) => self.wrong(node, "a map"),
            },
            Kind::List => match &node.value {
                Value::List(items) => self.list(node, items, schema),
                Value::Scalar(scalar) => {
                    // A value that could not stand in the list either is not to be put there.
                    let items = schema.get("items").filter(|items| kind_of(items) == Kind::Scalar);
                    let fault = items.and_then(|items| value::scalar(scalar, items).err());
                    let help = match fault.and_then(|fault| fault.help) {
                        Some(help) => format!("write a list; {help}"),
                        None => {
                            let quote = if scalar.plain { "" } else { "\"" };
                            format!("did you mean `[{quote}{}{quote}]`?", shorten(&scalar.written))
                        }
                    };
                    self.error(node.span, node, "expected a list, found a single value".to_owned(), Some(help));
                    None
                }
                Value::Null | Value::Broken | Value::Map(_) => self.wrong(node, "a list"),
            },
            Kind::Scalar => match &node.value {
                Value::Scalar(text) => match scalar(text, schema) {
                    Ok(json) => Some(Sound { node: node.clone(), json }),
                    Err(fault) => {
                        self.error(node.span, node, fault.message, fault.help);
                        None
                    }
                },
                Value::Null | Value::Broken | Value::List(_) | Value::Map(_) => self.wrong(node, "a single value"),
            },
        }
    }

    /// A value that may be of several kinds is judged by the kind that was written.
    fn choice(&mut self, node: &Node, choices: &[Json], mark: Span) -> Option<Sound> {
        let wanted = match node.value {
            Value::Null | Value::Broken | Value::Scalar(_) => Kind::Scalar,
            Value::List(_) => Kind::List,
            Value::Map(_) => Kind::Map,
        };
        let chosen = choices.iter().find(|choice| kind_of(choice) == wanted).or(choices.first())?;
        let before = self.faults.len();
        let sound = self.value(node, chosen, mark);
        // Who writes a path or a name where a truth may stand wants the map, of which the message about truths says nothing.
        let map = choices.iter().find(|choice| kind_of(choice) == Kind::Map);
        if chosen.get("type").and_then(Json::as_str) == Some("boolean")
            && let (Some(map), Some(fault)) = (map, self.faults.get_mut(before))
        {
            let keys = map.get("required").and_then(Json::as_array).into_iter().flatten().filter_map(Json::as_str);
            fault.help = Some(format!("write `true`, `false`, or a map with {}", list(&keys.collect::<Vec<_>>())));
        }
        sound
    }

    /// The sound part of a map, and whether all is there that must be.
    fn map(&mut self, node: &Node, schema: &Json, mark: Span) -> (Sound, bool) {
        let mut entries: Vec<Entry> = Vec::new();
        let mut json = serde_json::Map::new();
        let mut pruned = false;
        let mut guessed: Vec<String> = Vec::new();
        let names = schema.get("propertyNames").and_then(|names| names.get("format")).and_then(Json::as_str);
        for entry in node.entries() {
            let path = tree::join(&node.path, &entry.key);
            let (key, sound) = match property(schema, &entry.key) {
                None => match self.unknown(entry, path, schema).filter(|meant| node.entry(meant).is_none()) {
                    Some(meant) => {
                        let sound = self.guess(&entry.node, schema, &meant, entry.key_span);
                        guessed.push(meant.clone());
                        (meant, sound)
                    }
                    None => (entry.key.clone(), None),
                },
                Some(schema) => {
                    let named = names.is_none_or(|format| self.named(entry, path, format));
                    let sound = self.value(&entry.node, schema, entry.key_span).filter(|_| named);
                    (entry.key.clone(), sound)
                }
            };
            let Some(Sound { node, json: value }) = sound else {
                pruned = true;
                continue;
            };
            pruned |= node.pruned;
            json.insert(key.clone(), value);
            entries.push(Entry { key, key_span: entry.key_span, node });
        }
        let mut usable = true;
        for required in schema.get("required").and_then(Json::as_array).into_iter().flatten().filter_map(Json::as_str) {
            if node.entry(required).is_none() && !guessed.iter().any(|meant| meant == required) {
                let place = if node.entries().is_empty() { mark } else { node.mark() };
                self.error(place, node, format!("missing key `{required}`"), hint(schema, required));
            }
            usable &= json.contains_key(required);
        }
        let node = Node { path: node.path.clone(), span: node.span, value: Value::Map(entries), pruned };
        (Sound { node, json: Json::Object(json) }, usable)
    }

    fn list(&mut self, node: &Node, items: &[Node], schema: &Json) -> Option<Sound> {
        if items.is_empty() && schema.get("minItems").is_some() {
            self.error(node.span, node, "an empty list".to_owned(), Some("give at least one".to_owned()));
            return None;
        }
        let any = Json::Bool(true);
        let schema = schema.get("items").unwrap_or(&any);
        let sound: Vec<Sound> = items.iter().filter_map(|item| self.value(item, schema, item.mark())).collect();
        let pruned = sound.len() < items.len() || sound.iter().any(|item| item.node.pruned);
        let (nodes, values): (Vec<Node>, Vec<Json>) = sound.into_iter().map(|item| (item.node, item.json)).unzip();
        let node = Node { path: node.path.clone(), span: node.span, value: Value::List(nodes), pruned };
        Some(Sound { node, json: Json::Array(values) })
    }

    /// Reports an unknown key, and gives the known one that was probably meant.
    fn unknown(&mut self, entry: &Entry, path: String, schema: &Json) -> Option<String> {
        let known: Vec<&str> = schema
            .get("properties")
            .and_then(Json::as_object)
            .map(|properties| properties.keys().map(String::as_str).collect())
            .unwrap_or_default();
        let meant = nearest(&entry.key, &known);
        let help = match meant {
            _ if entry.key == "<<" => "merge keys are not taken; an alias can stand for a whole value".to_owned(),
            Some(meant) => format!("did you mean `{meant}`?"),
            None => format!("allowed: {}", list(&known)),
        };
        let message = format!("unknown key `{}`", shorten(&entry.key));
        self.faults.push(Diagnostic::error(entry.key_span, path, message).help(help));
        meant.map(str::to_owned)
    }

    /// Takes the value of a misspelt key for that of the key that was meant, so that what comes after it can be checked;
    /// where that does not fit it was not meant.
    fn guess(&mut self, node: &Node, schema: &Json, meant: &str, mark: Span) -> Option<Sound> {
        let mut faults = Vec::new();
        let sound = Walk { faults: &mut faults }.value(node, property(schema, meant)?, mark);
        sound.filter(|_| faults.is_empty())
    }

    /// Judges the key of a map whose keys are names.
    fn named(&mut self, entry: &Entry, path: String, format: &str) -> bool {
        match super::syntax::judge(format, &entry.key) {
            Some(Err(help)) => {
                let what = format.replace('-', " ");
                let message = format!("invalid {what} `{}`", shorten(&entry.key));
                self.faults.push(Diagnostic::error(entry.key_span, path, message).help(help));
                false
            }
            Some(Ok(())) | None => true,
        }
    }

    fn wrong(&mut self, node: &Node, expected: &str) -> Option<Sound> {
        let message = format!("expected {expected}, found {}", kind(node));
        self.error(node.mark(), node, message, None);
        None
    }

    fn error(&mut self, span: Span, node: &Node, message: String, help: Option<String>) {
        let mut fault = Diagnostic::error(span, node.path.clone(), message);
        fault.help = help;
        self.faults.push(fault);
    }
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Kind {
    Free,
    Map,
    List,
    Scalar,
}

fn kind_of(schema: &Json) -> Kind {
    match schema.get("type").and_then(Json::as_str) {
        Some("object") => Kind::Map,
        Some("array") => Kind::List,
        Some(_) => Kind::Scalar,
        // A list of types is one of scalars; so is a choice of constants.
        None if ["type", "oneOf", "enum", "const"].iter().any(|key| schema.get(*key).is_some()) => Kind::Scalar,
        None => Kind::Free,
    }
}

/// What a missing key is for, in short.
fn hint(schema: &Json, key: &str) -> Option<String> {
    let text = property(schema, key)?.get("description")?.as_str()?;
    let sentence = text.split(". ").next().unwrap_or(text).trim_end_matches('.');
    let mut letters = sentence.chars();
    let first = letters.next()?;
    Some(format!("{}{}", first.to_lowercase(), letters.as_str()))
}

/// "did you mean", where something is near enough.
pub fn closest(word: &str, known: &[&str]) -> Option<String> {
    nearest(word, known).map(|meant| format!("did you mean `{meant}`?"))
}

fn nearest<'a>(word: &str, known: &[&'a str]) -> Option<&'a str> {
    let plain = |text: &str| text.to_lowercase().replace('-', "_");
    let score = |known: &str| strsim::jaro_winkler(&plain(word), &plain(known));
    let best = known.iter().copied().max_by(|a, b| score(a).total_cmp(&score(b)))?;
    (score(best) >= 0.8).then_some(best)
}

/// "`a`, `b`, `c`".
pub fn list(words: &[&str]) -> String {
    words.iter().map(|word| format!("`{word}`")).collect::<Vec<_>>().join(", ")
}

/// A text for a message: one line, not long.
pub fn shorten(text: &str) -> String {
    let line: String = text.chars().take(60).map(|c| if c.is_control() { ' ' } else { c }).collect();
    if text.chars().nth(60).is_some() { format!("{line}…") } else { line }
}
