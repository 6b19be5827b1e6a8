//! The native adapter's puppet: a script becomes a module in WebAssembly text, with each effect a call of its host function.
//! It knows the ABI's types and encodings, not what a case is about.

use std::fmt::Write as _;

use tidegate_abi::{Hook, MODULE, Signature};
use tidegate_tests::wasm;

use super::adapter::Adapter;
use super::script::{End, Entry, Part, Script, Step, Value};

/// The native ABI.
pub struct Native;

/// The host functions and their parameters: `i`, `l` and `d` are 32 and 64 bits and a float, `b` is bytes as pointer and length, `o` a
/// buffer for what the host gives. `L` at the end: returns 64 bits; `-`: returns nothing.
pub const EFFECTS: [(&str, &str); 52] = [
    ("config_read", "o"),
    ("refuse", "b-"),
    ("define_label_set", "b"),
    ("define_metric", "b"),
    ("tick_every", "l"),
    ("metric_add", "iid"),
    ("metric_set", "iid"),
    ("metric_record", "iid"),
    ("log_field_text", "bb"),
    ("log_field_int", "bl"),
    ("log_field_float", "bd"),
    ("log_field_bool", "bi"),
    ("log_line", "ib"),
    ("span_start", "ib"),
    ("span_end", "i"),
    ("span_attribute_text", "ibb"),
    ("span_attribute_int", "ibl"),
    ("span_attribute_float", "ibd"),
    ("span_attribute_bool", "ibi"),
    ("span_event", "ib"),
    ("span_status", "iib"),
    ("header_read", "ibio"),
    ("headers_read", "io"),
    ("header_set", "ibb"),
    ("header_add", "ibb"),
    ("header_remove", "ib"),
    ("text_read", "io"),
    ("number_read", "iL"),
    ("correlation_set", "bb"),
    ("reply", "ibb"),
    ("state_read", "o"),
    ("state_write", "b"),
    ("body_mode", "iili"),
    ("body_read", "io"),
    ("body_replace", "b"),
    ("body_append", "b"),
    ("route_set", "b"),
    ("upstream_set", "b"),
    ("timeout_set", "l"),
    ("limit_key_set", "bb"),
    ("store_get", "bo"),
    ("store_set", "bbl"),
    ("store_swap", "bbbl"),
    ("store_increment", "bllL"),
    ("store_remove", "b"),
    ("sleep", "l"),
    ("call_out", "b"),
    ("answer_status", "i"),
    ("answer_read", "iio"),
    // The same under another name, for what only the native encoding can say wrong.
    ("define_metric_bytes", "b"),
    ("define_label_set_bytes", "b"),
    ("call_out_bytes", "b"),
];

const PUPPET: &str = include_str!("../../fixtures/puppet.wat");
const BUFFER: usize = 0x10000;
const TEXTS: usize = 0x20000;
const LONG: usize = 0x40_0000;

/// A module that is being written.
struct Module<'a> {
    own: &'a str,
    gathers: bool,
    texts: Vec<u8>,
    code: String,
    /// Notes, each with a global of its name.
    notes: Vec<String>,
    labels: usize,
}

impl Adapter for Native {
    fn name(&self) -> &'static str {
        "native"
    }

    fn puppet(&self, script: &Script, own: &str) -> Vec<u8> {
        let mut module = Module {
            own,
            gathers: script.gathers,
            texts: Vec::new(),
            code: String::new(),
            notes: Vec::new(),
            labels: 0,
        };
        for step in script.entries.values().flat_map(|part| &part.steps) {
            if let Some(note) = &step.note
                && !module.notes.contains(&note.name)
            {
                module.notes.push(note.name.clone());
            }
        }
        let mut resumes = Vec::new();
        for (entry, part) in &script.entries {
            module.entry(*entry, part);
            if let Entry::Resume(hook) = entry {
                resumes.push(*hook);
            }
        }
        module.resume(&resumes);
        module.finish(script)
    }
}

impl Module<'_> {
    /// The function of one entry; the hook's export where it is one.
    fn entry(&mut self, entry: Entry, part: &Part) {
        let hook = entry.hook();
        let number = hook as usize;
        let _ = match entry {
            Entry::Resume(_) => writeln!(self.code, "  (func $resume{number} (result i32) (local $n i32)"),
            Entry::Hook(_) => writeln!(
                self.code,
                "  (func (export \"{}\") {} (local $n i32)",
                hook.export(),
                match hook.signature() {
                    Signature::Plain => "(result i32)",
                    Signature::Deciding => "(param $slot i32) (result i32)",
                    Signature::Noting => "(param $slot i32)",
                }
            ),
        };
        for step in &part.steps {
            self.step(step);
        }
        if self.gathers {
            self.code.push_str("    (call $flush)\n");
        }
        let calls = match entry {
            Entry::Hook(_) => format!("$calls{number}"),
            Entry::Resume(_) => format!("$resumes{number}"),
        };
        let _ = writeln!(self.code, "    (global.set {calls} (i32.add (global.get {calls}) (i32.const 1)))");
        let (last, before) = part.ends.split_last().unwrap_or((&End::Continue, &[]));
        for (call, end) in before.iter().enumerate() {
            let end = ending(*end, hook);
            let _ = writeln!(self.code, "    (if (i32.eq (global.get {calls}) (i32.const {})) (then {end}))", call + 1);
        }
        let _ = writeln!(self.code, "    {} unreachable)", ending(*last, hook));
    }

    fn step(&mut self, step: &Step) {
        let name = step.effect.trim_end_matches("_bytes");
        let (_, shape) = EFFECTS.iter().find(|(known, _)| *known == step.effect).expect("a host function");
        let letters: Vec<_> = shape.chars().filter(|letter| !matches!(letter, 'L' | '-')).collect();
        let given = letters.iter().filter(|letter| **letter != 'o').count();
        assert_eq!(given, step.arguments.len(), "arguments of {}", step.effect);
        let mut arguments = step.arguments.iter();
        let mut call = format!("(call ${name}");
        for letter in letters {
            if letter == 'o' {
                let _ = write!(call, " (i32.const {BUFFER}) (i32.const {BUFFER})");
            } else {
                let argument = self.argument(letter, arguments.next().expect("an argument"));
                let _ = write!(call, " {argument}");
            }
        }
        call.push(')');
        let call = match shape.chars().last() {
            Some('-') => call,
            Some('L') => format!("(global.set $result {call})"),
            _ => format!("(global.set $result (i64.extend_i32_s {call}))"),
        };
        if step.times == 1 {
            let _ = writeln!(self.code, "    {call}");
        } else {
            self.labels += 1;
            let _ = writeln!(
                self.code,
                "    (local.set $n (i32.const {})) (loop $l{label} {call} (local.set $n (i32.sub (local.get $n) (i32.const 1))) (br_if $l{label} (local.get $n)))",
                step.times,
                label = self.labels,
            );
        }
        if let Some(note) = &step.note {
            let number = self.notes.iter().position(|name| *name == note.name).expect("a global");
            let (at, length) = self.place(note.name.as_bytes());
            let writer = match (self.gathers, note.text) {
                (true, _) => "$gather",
                (_, true) => "$note_text",
                _ => "$note",
            };
            let _ = writeln!(
                self.code,
                "    (global.set $of{number} (global.get $result)) (call {writer} (i32.const {at}) (i32.const {length}))"
            );
        }
    }

    fn argument(&mut self, letter: char, value: &Value) -> String {
        match (letter, value) {
            ('i', Value::Int(value)) => format!("(i32.const {})", i32::try_from(*value).unwrap()),
            ('i', Value::Ticket) => "(global.get $ticket)".to_owned(),
            ('i', Value::Of(note)) => {
                let number = self.notes.iter().position(|name| name == note).expect("a note of this name");
                format!("(i32.wrap_i64 (global.get $of{number}))")
            }
            ('l', Value::Int(value)) => format!("(i64.const {value})"),
            ('d', Value::Float(value)) if value.is_nan() => "(f64.const nan)".to_owned(),
            ('d', Value::Float(value)) => format!("(f64.const {value})"),
            #[allow(clippy::cast_precision_loss, reason = "small numbers of the cases")]
            ('d', Value::Int(value)) => format!("(f64.const {})", *value as f64),
            ('b', Value::Absent) => "(i32.const 0) (i32.const -1)".to_owned(),
            ('b', Value::Long(length)) => {
                format!(
                    "(i32.const {LONG}) (memory.fill (i32.const {LONG}) (i32.const 120) (i32.const {length})) (i32.const {length})"
                )
            }
            ('b', value) => {
                let bytes = encode(value, self.own);
                let (at, length) = self.place(&bytes);
                format!("(i32.const {at}) (i32.const {length})")
            }
            (letter, value) => panic!("{value:?} is no argument of kind {letter}"),
        }
    }

    /// Puts a text into the memory; one that is there already is not put there again.
    fn place(&mut self, text: &[u8]) -> (usize, usize) {
        let found =
            if text.is_empty() { Some(0) } else { self.texts.windows(text.len()).position(|part| part == text) };
        let at = found.unwrap_or_else(|| {
            self.texts.extend_from_slice(text);
            self.texts.len() - text.len()
        });
        (TEXTS + at, text.len())
    }

    fn resume(&mut self, hooks: &[Hook]) {
        if hooks.is_empty() {
            return;
        }
        self.code.push_str("  (func (export \"tidegate_resume\") (param $slot i32) (param i32) (result i32)\n    (global.set $ticket (local.get 1))\n");
        for hook in hooks {
            let number = *hook as usize;
            let _ = writeln!(
                self.code,
                "    (if (i32.eq (global.get $waiting) (i32.const {number})) (then (return (call $resume{number}))))"
            );
        }
        self.code.push_str("    unreachable)\n");
    }

    fn finish(self, script: &Script) -> Vec<u8> {
        let mut text = String::new();
        let used = |name: &str| {
            matches!(name, "log_line" | "log_field_text")
                || script
                    .entries
                    .values()
                    .flat_map(|part| &part.steps)
                    .any(|step| step.effect.trim_end_matches("_bytes") == name)
        };
        for (name, shape) in EFFECTS.iter().filter(|(name, _)| !name.ends_with("_bytes") && used(name)) {
            let parameters: Vec<_> = shape
                .chars()
                .filter_map(|letter| match letter {
                    'i' => Some("i32"),
                    'l' => Some("i64"),
                    'd' => Some("f64"),
                    'b' | 'o' => Some("i32 i32"),
                    _ => None,
                })
                .collect();
            let result = match shape.chars().last() {
                Some('-') => "",
                Some('L') => "(result i64)",
                _ => "(result i32)",
            };
            let _ = writeln!(
                text,
                "  (import \"{MODULE}\" \"{name}\" (func ${name} (param {}) {result}))",
                parameters.join(" ")
            );
        }
        text.push_str(PUPPET);
        for number in 0..self.notes.len() {
            let _ = writeln!(text, "  (global $of{number} (mut i64) (i64.const 0))");
        }
        for number in 0..Hook::ALL.len() {
            let _ = writeln!(
                text,
                "  (global $calls{number} (mut i32) (i32.const 0)) (global $resumes{number} (mut i32) (i32.const 0))"
            );
        }
        let bytes: String = self.texts.iter().fold(String::new(), |mut text, byte| {
            let _ = write!(text, "\\{byte:02x}");
            text
        });
        let _ = writeln!(text, "  (data (i32.const {TEXTS}) \"{bytes}\")");
        wasm(&(text + &self.code))
    }
}

fn ending(end: End, hook: Hook) -> String {
    let verdict = match end {
        End::Trap => return "unreachable".to_owned(),
        End::Continue => 0,
        End::Pending => 1,
        End::Reply => 2,
        End::Fail => 3,
        End::Close => 4,
    };
    if hook.signature() == Signature::Noting {
        return "(return)".to_owned();
    }
    let waits = if end == End::Pending {
        format!("(global.set $waiting (i32.const {}))", hook as usize)
    } else {
        String::new()
    };
    format!("{waits} (return (i32.const {verdict}))")
}

/// The bytes of an argument, in the ABI's encoding of lists.
fn encode(value: &Value, own: &str) -> Vec<u8> {
    let mut bytes = Vec::new();
    let text = |bytes: &mut Vec<u8>, text: &[u8]| {
        let text = fill_in(text, own);
        bytes.extend(number(text.len()));
        bytes.extend(text);
    };
    match value {
        Value::Bytes(raw) => return fill_in(raw, own),
        Value::Headers(headers) => {
            for (name, value) in headers {
                text(&mut bytes, name.as_bytes());
                text(&mut bytes, value.as_bytes());
            }
        }
        Value::LabelSet(name, values) => {
            text(&mut bytes, name.as_bytes());
            bytes.extend(number(values.len()));
            for value in values {
                text(&mut bytes, value.as_bytes());
            }
        }
        Value::Metric(metric) => {
            bytes.extend(metric.kind.to_le_bytes());
            for part in [metric.name, metric.unit, "A metric of the contract suite."] {
                text(&mut bytes, part.as_bytes());
            }
            bytes.extend(number(metric.labels.len()));
            bytes.extend(metric.labels.iter().flat_map(|label| label.to_le_bytes()));
            bytes.extend(number(metric.buckets.len()));
            bytes.extend(metric.buckets.iter().flat_map(|bucket| bucket.to_le_bytes()));
        }
        Value::CallOut(call) => {
            for part in [call.upstream, call.method, call.path] {
                text(&mut bytes, part.as_bytes());
            }
            bytes.extend(call.milliseconds.to_le_bytes());
            text(&mut bytes, &encode(&Value::Headers(call.headers.clone()), own));
            text(&mut bytes, &call.body);
        }
        value => panic!("{value:?} has no bytes"),
    }
    bytes
}

fn number(number: usize) -> [u8; 4] {
    u32::try_from(number).unwrap().to_le_bytes()
}

fn fill_in(text: &[u8], own: &str) -> Vec<u8> {
    match std::str::from_utf8(text) {
        Ok(text) => text.replace("{self}", own).into_bytes(),
        Err(_) => text.to_vec(),
    }
}
