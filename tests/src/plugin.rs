//! Plugins written in the test itself, as WebAssembly text.
//! It knows only the ABI's names, not how a plugin is run.

/// Translates WebAssembly text to a module. `(module` and the ABI's version export are added around `body`.
pub fn wasm(body: &str) -> Vec<u8> {
    let text = format!("(module {body} (func (export \"tidegate_abi_version\") (result i32) (i32.const 1)))");
    wat::parse_str(&text).unwrap_or_else(|error| panic!("{error}\n{text}"))
}

/// A plugin that says in each response which generation it is (`x-generation`) and how many responses its instance has seen (`x-count`:
/// `a` for the first), and counts them all in the metric `hits`.
#[derive(Clone, Copy, Debug)]
pub struct Generation<'a> {
    name: &'a str,
    hands_over: bool,
    says_names: bool,
    stores: bool,
}

/// The generation with this name.
pub fn generation(name: &str) -> Generation<'_> {
    Generation { name, hands_over: false, says_names: false, stores: false }
}

impl Generation<'_> {
    /// The next generation goes on with the count of this one.
    pub fn handing_over(self) -> Self {
        Self { hands_over: true, ..self }
    }

    /// It can also say names of routes, though it does not.
    pub fn saying_names(self) -> Self {
        Self { says_names: true, ..self }
    }

    /// The count is kept in the plugin's store, for all workers and generations.
    pub fn storing(self) -> Self {
        Self { stores: true, ..self }
    }

    /// The module.
    pub fn module(&self) -> Vec<u8> {
        let (read, export) = match self.hands_over {
            false => ("", ""),
            true => (
                "(drop (call $state_read (i32.const 64) (i32.const 1)))",
                "(func (export \"tidegate_hand_over\") (result i32) (call $state_write (i32.const 64) (i32.const 1)))",
            ),
        };
        let names = match self.says_names {
            false => "",
            true => "(import \"tidegate_v1\" \"route_set\" (func (param i32 i32) (result i32)))",
        };
        let count = match self.stores {
            false => "(i32.add (i32.load8_u (i32.const 64)) (i32.const 1))",
            true => {
                "(i32.add (i32.const 96)
                    (i32.wrap_i64 (call $increment (i32.const 16) (i32.const 7) (i64.const 1) (i64.const 0))))"
            }
        };
        wasm(&format!(
            "{names}
             (import \"tidegate_v1\" \"header_set\" (func $header (param i32 i32 i32 i32 i32) (result i32)))
             (import \"tidegate_v1\" \"define_metric\" (func $define (param i32 i32) (result i32)))
             (import \"tidegate_v1\" \"metric_add\" (func $add (param i32 i32 f64) (result i32)))
             (import \"tidegate_v1\" \"state_read\" (func $state_read (param i32 i32) (result i32)))
             (import \"tidegate_v1\" \"state_write\" (func $state_write (param i32 i32) (result i32)))
             (import \"tidegate_v1\" \"store_increment\" (func $increment (param i32 i32 i64 i64) (result i64)))
             (memory (export \"memory\") 1)
             (data (i32.const 0) \"x-generation\") (data (i32.const 16) \"x-count\")
             (data (i32.const 64) \"\\60\") (data (i32.const 256) \"{name}\")
             (data (i32.const 128) \"\\00\\00\\00\\00\\04\\00\\00\\00hits\\00\\00\\00\\00\\00\\00\\00\\00\\00\\00\\00\\00\\00\\00\\00\\00\")
             (func (export \"tidegate_configure\") (result i32)
                (drop (call $define (i32.const 128) (i32.const 28))) {read} (i32.const 0))
             {export}
             (func (export \"tidegate_response_head\") (param i32) (result i32)
                (i32.store8 (i32.const 64) {count})
                (drop (call $header (i32.const 1) (i32.const 0) (i32.const 12) (i32.const 256) (i32.const {length})))
                (drop (call $header (i32.const 1) (i32.const 16) (i32.const 7) (i32.const 64) (i32.const 1)))
                (drop (call $add (i32.const 0) (i32.const 0) (f64.const 1)))
                (i32.const 0))",
            name = self.name,
            length = self.name.len(),
        ))
    }
}
