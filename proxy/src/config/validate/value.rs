//! A single value against its schema: what it must be to be a number, a word, a text in one of our syntaxes.
//! It does not know where the value stands.

use serde_json::{Number, Value as Json};

use super::{closest, list, shorten};
use crate::config::syntax::{self, Size, Syntax};
use crate::config::tree::{Node, Scalar, Value};

/// What is wrong with a value.
pub(super) struct Fault {
    pub(super) message: String,
    pub(super) help: Option<String>,
}

/// Reads a value as its schema wants it.
pub(super) fn scalar(scalar: &Scalar, schema: &Json) -> Result<Json, Fault> {
    let text = scalar.text.as_str();
    let secret = schema.get("writeOnly").is_some();
    let shown = if secret { String::new() } else { format!(" `{}`", shorten(&scalar.written)) };
    if let Some(words) = words(schema) {
        if words.contains(&text) {
            return Ok(text.into());
        }
        let help = closest(text, &words).unwrap_or_else(|| format!("allowed: {}", list(&words)));
        return fault(format!("unknown value{shown}"), help);
    }
    if let Some(format) = schema.get("format").and_then(Json::as_str)
        && let Some(verdict) = syntax::judge(format, text)
    {
        let what = format.trim_end_matches("-or-off").replace('-', " ");
        return match verdict.and_then(|()| within(text, schema)) {
            Ok(()) => Ok(text.into()),
            Err(help) => fault(format!("invalid {what}{shown}"), help),
        };
    }
    match schema.get("type").and_then(Json::as_str) {
        Some("boolean") => match text {
            "true" => Ok(true.into()),
            "false" => Ok(false.into()),
            _ => fault(format!("expected true or false, found{shown}"), "write `true` or `false`".to_owned()),
        },
        Some("integer") => match text.parse::<i64>() {
            Ok(number) => bounded(number.into(), as_float(number), schema, &shown),
            Err(_) => fault(format!("expected a whole number, found{shown}"), bounds(schema)),
        },
        Some("number") => match text.parse::<f64>().ok().filter(|number| number.is_finite()) {
            Some(number) => match Number::from_f64(number) {
                Some(exact) => bounded(exact.into(), number, schema, &shown),
                None => fault(format!("expected a number, found{shown}"), bounds(schema)),
            },
            None => fault(format!("expected a number, found{shown}"), bounds(schema)),
        },
        _ => {
            if text.is_empty() && schema.get("minLength").is_some() {
                return fault("an empty text".to_owned(), "give it a value, or leave the key out".to_owned());
            }
            Ok(text.into())
        }
    }
}

/// Reads a value that is handed on as it is, as YAML's core schema says.
pub(super) fn free(node: &Node) -> Option<Json> {
    Some(match &node.value {
        Value::Broken => return None,
        Value::Null => Json::Null,
        Value::Scalar(scalar) if !scalar.plain => scalar.text.as_str().into(),
        Value::Scalar(scalar) => match scalar.text.as_str() {
            "true" | "True" | "TRUE" => true.into(),
            "false" | "False" | "FALSE" => false.into(),
            text => number(text).map_or_else(|| text.into(), Json::Number),
        },
        Value::List(items) => Json::Array(items.iter().map(free).collect::<Option<_>>()?),
        Value::Map(entries) => {
            let pairs = entries.iter().map(|entry| Some((entry.key.clone(), free(&entry.node)?)));
            Json::Object(pairs.collect::<Option<_>>()?)
        }
    })
}

fn number(text: &str) -> Option<Number> {
    let digits = text.strip_prefix(['-', '+']).unwrap_or(text);
    if !digits.starts_with(|first: char| first.is_ascii_digit() || first == '.') {
        return None;
    }
    if let Some(hex) = text.strip_prefix("0x") {
        return u64::from_str_radix(hex, 16).ok().map(Number::from);
    }
    if let Some(octal) = text.strip_prefix("0o") {
        return u64::from_str_radix(octal, 8).ok().map(Number::from);
    }
    if let Ok(number) = text.parse::<i64>() {
        return Some(number.into());
    }
    if let Ok(number) = text.parse::<u64>() {
        return Some(number.into());
    }
    text.parse::<f64>().ok().and_then(Number::from_f64)
}

/// The words that are allowed, where only some are.
fn words(schema: &Json) -> Option<Vec<&str>> {
    if let Some(words) = schema.get("enum").and_then(Json::as_array) {
        return Some(words.iter().filter_map(Json::as_str).collect());
    }
    if let Some(word) = schema.get("const").and_then(Json::as_str) {
        return Some(vec![word]);
    }
    let choices = schema.get("oneOf").and_then(Json::as_array)?;
    Some(choices.iter().filter_map(words).flatten().collect())
}

/// Whether a size lies within its limits.
fn within(text: &str, schema: &Json) -> Result<(), String> {
    let limit = |key: &str| schema.get(key).and_then(Json::as_str);
    let (Some(least), Some(most)) = (limit("x-min"), limit("x-max")) else { return Ok(()) };
    let (size, low, high) = (Size::parse(text)?, Size::parse(least)?, Size::parse(most)?);
    if (low.0..=high.0).contains(&size.0) { Ok(()) } else { Err(format!("it must be {least} to {most}")) }
}

fn bounded(json: Json, number: f64, schema: &Json, shown: &str) -> Result<Json, Fault> {
    let limit = |key: &str| schema.get(key).and_then(Json::as_f64);
    let low = limit("minimum").is_none_or(|least| number >= least);
    let high = limit("maximum").is_none_or(|most| number <= most);
    if low && high { Ok(json) } else { fault(format!("{} is out of range", shown.trim_start()), bounds(schema)) }
}

fn bounds(schema: &Json) -> String {
    match (schema.get("minimum"), schema.get("maximum")) {
        (Some(least), Some(most)) => format!("it must be {least} to {most}"),
        (Some(least), None) => format!("it must be {least} or more"),
        (None, Some(most)) => format!("it must be {most} or less"),
        (None, None) => "write a number".to_owned(),
    }
}

/// Only compared with limits far below 2^53, where this is exact.
#[allow(clippy::cast_precision_loss)]
fn as_float(number: i64) -> f64 {
    number as f64
}

fn fault<T>(message: String, help: String) -> Result<T, Fault> {
    Err(Fault { message, help: Some(help) })
}
