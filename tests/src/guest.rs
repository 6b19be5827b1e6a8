//! Plugins for tests of what hooks may do: the host functions by name, texts put into memory, and hooks as WebAssembly text.
//! It knows only the ABI, not how a plugin is run.

use std::fmt::Write;

use crate::wasm;

/// Every host function that [`Guest`] imports: name and type.
const IMPORTS: [(&str, &str); 21] = [
    ("tick_every", "(param i64) (result i32)"),
    ("sleep", "(param i64) (result i32)"),
    ("call_out", "(param i32 i32) (result i32)"),
    ("answer_status", "(param i32) (result i32)"),
    ("answer_read", "(param i32 i32 i32 i32) (result i32)"),
    ("header_set", "(param i32 i32 i32 i32 i32) (result i32)"),
    ("header_add", "(param i32 i32 i32 i32 i32) (result i32)"),
    ("reply", "(param i32 i32 i32 i32 i32) (result i32)"),
    ("body_mode", "(param i32 i32 i64 i32) (result i32)"),
    ("body_read", "(param i32 i32 i32) (result i32)"),
    ("body_replace", "(param i32 i32) (result i32)"),
    ("body_append", "(param i32 i32) (result i32)"),
    ("route_set", "(param i32 i32) (result i32)"),
    ("upstream_set", "(param i32 i32) (result i32)"),
    ("timeout_set", "(param i64) (result i32)"),
    ("limit_key_set", "(param i32 i32 i32 i32) (result i32)"),
    ("log_field_int", "(param i32 i32 i64) (result i32)"),
    ("log_line", "(param i32 i32 i32) (result i32)"),
    ("number_read", "(param i32) (result i64)"),
    ("text_read", "(param i32 i32 i32) (result i32)"),
    ("header_read", "(param i32 i32 i32 i32 i32 i32) (result i32)"),
];

/// From here on memory is free for what a hook reads.
pub const SCRATCH: usize = 60_000;

/// A plugin being written. What its methods return are statements, or expressions, of WebAssembly text.
#[derive(Debug, Default)]
pub struct Guest {
    data: Vec<u8>,
    functions: String,
}

impl Guest {
    /// With no hook yet.
    pub fn new() -> Self {
        Self::default()
    }

    /// Puts bytes into memory; where, and how many, as two arguments.
    pub fn bytes(&mut self, bytes: impl AsRef<[u8]>) -> String {
        let at = self.data.len();
        self.data.extend_from_slice(bytes.as_ref());
        assert!(self.data.len() <= SCRATCH);
        format!("(i32.const {at}) (i32.const {})", bytes.as_ref().len())
    }

    /// Adds a hook (or any other export) with parameters and body; what it has as result is an `i32`.
    #[must_use]
    pub fn hook(mut self, name: &str, body: &str) -> Self {
        let (parameters, result) = match name {
            "configure" | "hand_over" => ("", "(result i32)"),
            "log" | "release" => ("(param $slot i32)", ""),
            "resume" => ("(param $slot i32) (param $ticket i32)", "(result i32)"),
            _ => ("(param $slot i32)", "(result i32)"),
        };
        let _ = writeln!(self.functions, "(func (export \"tidegate_{name}\") {parameters} {result} {body})");
        self
    }

    /// A call of a host function whose result does not matter.
    pub fn call(&self, name: &str, arguments: &str) -> String {
        format!("(drop (call ${name} {arguments}))")
    }

    /// Sets a header of the request (0) or the response (1).
    pub fn header(&mut self, map: u8, name: &str, value: &str) -> String {
        let (name, value) = (self.bytes(name), self.bytes(value));
        self.call("header_set", &format!("(i32.const {map}) {name} {value}"))
    }

    /// Answers with this status and body: the end of a hook.
    pub fn reply(&mut self, status: u16, body: &str) -> String {
        let body = self.bytes(body);
        let staged = self.call("reply", &format!("(i32.const {status}) (i32.const 0) (i32.const 0) {body}"));
        format!("{staged} (i32.const 2)")
    }

    /// Begins a call-out that is given up after so many milliseconds; 0 for the default.
    pub fn call_out(&mut self, upstream: &str, path: &str, milliseconds: u32) -> String {
        let mut request = Vec::new();
        for text in [upstream, "GET", path] {
            request.extend_from_slice(&u32::try_from(text.len()).unwrap().to_le_bytes());
            request.extend_from_slice(text.as_bytes());
        }
        request.extend_from_slice(&milliseconds.to_le_bytes());
        // Neither headers nor a body.
        request.extend_from_slice(&[0; 8]);
        let request = self.bytes(request);
        self.call("call_out", &request)
    }

    /// The module.
    pub fn module(&self) -> Vec<u8> {
        let imports =
            IMPORTS.iter().map(|(name, kind)| format!("(import \"tidegate_v1\" \"{name}\" (func ${name} {kind}))"));
        let data: String = self.data.iter().map(|byte| format!("\\{byte:02x}")).collect();
        wasm(&format!(
            "{} (memory (export \"memory\") 2) (data (i32.const 0) \"{data}\") (global $seen (mut i32) (i32.const 0)) {}",
            imports.collect::<Vec<_>>().join("\n"),
            self.functions
        ))
    }
}
