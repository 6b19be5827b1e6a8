//! What is found in the bodies of one exchange: the labels and numbers of the configuration.
//! Pure; it knows neither metrics nor hooks.

use serde_json::Value;
use tidegate_sdk::{Label, LabelSet};

use crate::config::{Config, LabelField, NumberField, Which};

/// What was found so far.
#[derive(Debug, Default)]
pub struct Found {
    /// By the order of the configuration; filled as far as something was found.
    labels: Vec<Option<Label>>,
    numbers: Vec<Option<f64>>,
}

impl Found {
    /// Notes the fields of a body, or of an event of it. Of several events the last that has a field counts.
    pub fn read(&mut self, which: Which, json: &Value, config: &Config, sets: &[LabelSet]) {
        self.labels.resize(config.labels.len(), None);
        self.numbers.resize(config.numbers.len(), None);
        for ((found, field), set) in self.labels.iter_mut().zip(&config.labels).zip(sets) {
            if field.body == which
                && let Some(label) = label(json, field, set)
            {
                *found = Some(label);
            }
        }
        for (found, field) in self.numbers.iter_mut().zip(&config.numbers) {
            if field.body == which
                && let Some(number) = number(json, field)
            {
                *found = Some(number);
            }
        }
    }

    /// The value of a label, if its field was there.
    pub fn label(&self, at: usize) -> Option<Label> {
        self.labels.get(at).copied().flatten()
    }

    /// A number, if its field was there.
    pub fn number(&self, at: usize) -> Option<f64> {
        self.numbers.get(at).copied().flatten()
    }
}

fn label(json: &Value, field: &LabelField, set: &LabelSet) -> Option<Label> {
    match json.pointer(&field.pointer)? {
        Value::String(text) => Some(set.get(text)),
        Value::Number(number) => Some(set.get(number.to_string())),
        Value::Bool(yes) => Some(set.get(if *yes { "true" } else { "false" })),
        Value::Null => None,
        Value::Array(_) | Value::Object(_) => Some(set.other()),
    }
}

fn number(json: &Value, field: &NumberField) -> Option<f64> {
    let number = field.pointer.iter().find_map(|pointer| json.pointer(pointer)?.as_f64())?;
    // A counter only goes up; something negative is a mistake of the service.
    Some(number).filter(|number| number.is_finite() && *number >= 0.0)
}

/// The last names of all pointers into a body: an event without any of them need not be parsed.
pub fn names(which: Which, config: &Config) -> Vec<String> {
    let labels = config.labels.iter().filter(|field| field.body == which).map(|field| &field.pointer);
    let numbers = config.numbers.iter().filter(|field| field.body == which).flat_map(|field| field.pointer.iter());
    let last = |pointer: &String| pointer.rsplit('/').next().unwrap_or_default().replace("~1", "/").replace("~0", "~");
    // A name that JSON writes with escapes can stand there in many ways, and a number is a place in a list.
    let plain = |name: &String| name.bytes().all(|byte| byte.is_ascii_graphic() && byte != b'"' && byte != b'\\');
    let all: Vec<_> = labels.chain(numbers).map(last).collect();
    match all.iter().all(|name| plain(name) && name.parse::<usize>().is_err()) {
        true => all,
        false => Vec::new(),
    }
}
