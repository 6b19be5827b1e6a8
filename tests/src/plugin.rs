//! Plugins written in the test itself, as WebAssembly text.
//! It knows only the ABI's names, not how a plugin is run.

/// Translates WebAssembly text to a module. `(module` and the ABI's version export are added around `body`.
pub fn wasm(body: &str) -> Vec<u8> {
    let text = format!("(module {body} (func (export \"tidegate_abi_version\") (result i32) (i32.const 1)))");
    wat::parse_str(&text).unwrap_or_else(|error| panic!("{error}\n{text}"))
}
