//! Which exports of a module can come to call an import, by its code: what none can call need not be prepared for.
//! It runs nothing, and knows no hook.

use std::collections::{HashMap, HashSet};

use wasmparser::{
    BinaryReaderError, ConstExpr, ElementItems, ExternalKind, Operator, OperatorsReader, Parser, Payload, TableInit,
    TypeRef,
};

/// The calls that a module's functions make.
#[derive(Default)]
struct Calls {
    /// By callee, those that call it.
    callers: HashMap<Callee, Vec<Callee>>,
}

/// A function by its index, or whichever is called by a reference.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
enum Callee {
    Function(u32),
    Reference,
}

/// The names of the exported functions that call an import which is `wanted`, by module and name, or call a function that does. One
/// that calls by a reference may call whatever there is a reference to.
///
/// # Errors
/// When the code cannot be read.
pub(super) fn exports(
    bytes: &[u8],
    wanted: impl Fn(&str, &str) -> bool,
) -> Result<HashSet<Box<str>>, BinaryReaderError> {
    let (mut calls, mut exports, mut found) = (Calls::default(), Vec::new(), Vec::new());
    let mut function = 0;
    for payload in Parser::new(0).parse_all(bytes) {
        match payload? {
            Payload::ImportSection(imports) => {
                for import in imports.into_imports() {
                    let import = import?;
                    if let TypeRef::Func(_) | TypeRef::FuncExact(_) = import.ty {
                        if wanted(import.module, import.name) {
                            found.push(Callee::Function(function));
                        }
                        function += 1;
                    }
                }
            }
            Payload::TableSection(tables) => {
                for table in tables {
                    if let TableInit::Expr(value) = table?.init {
                        calls.constant(&value)?;
                    }
                }
            }
            Payload::GlobalSection(globals) => {
                for global in globals {
                    calls.constant(&global?.init_expr)?;
                }
            }
            Payload::ElementSection(elements) => {
                for element in elements {
                    match element?.items {
                        ElementItems::Functions(functions) => {
                            for function in functions {
                                calls.refer(function?);
                            }
                        }
                        ElementItems::Expressions(_, values) => {
                            for value in values {
                                calls.constant(&value?)?;
                            }
                        }
                    }
                }
            }
            Payload::ExportSection(all) => {
                for export in all {
                    let export = export?;
                    if let ExternalKind::Func | ExternalKind::FuncExact = export.kind {
                        exports.push((export.name, Callee::Function(export.index)));
                    }
                }
            }
            Payload::CodeSectionEntry(body) => {
                calls.code(Some(function), body.get_operators_reader()?)?;
                function += 1;
            }
            _ => {}
        }
    }
    let reaching = calls.reaching(found);
    Ok(exports.into_iter().filter(|(_, callee)| reaching.contains(callee)).map(|(name, _)| name.into()).collect())
}

// === impl Calls ===

impl Calls {
    /// Notes what this code calls and refers to.
    fn code(&mut self, function: Option<u32>, code: OperatorsReader<'_>) -> Result<(), BinaryReaderError> {
        for operator in code {
            let callee = match operator? {
                Operator::Call { function_index } | Operator::ReturnCall { function_index } => {
                    Callee::Function(function_index)
                }
                Operator::CallIndirect { .. }
                | Operator::ReturnCallIndirect { .. }
                | Operator::CallRef { .. }
                | Operator::ReturnCallRef { .. } => Callee::Reference,
                Operator::RefFunc { function_index } => {
                    self.refer(function_index);
                    continue;
                }
                _ => continue,
            };
            if let Some(function) = function {
                self.callers.entry(callee).or_default().push(Callee::Function(function));
            }
        }
        Ok(())
    }

    /// As [`Calls::code`], of a constant, which calls nothing.
    fn constant(&mut self, value: &ConstExpr<'_>) -> Result<(), BinaryReaderError> {
        self.code(None, value.get_operators_reader())
    }

    /// There is a reference to this function.
    fn refer(&mut self, function: u32) {
        self.callers.entry(Callee::Function(function)).or_default().push(Callee::Reference);
    }

    /// These, all that call them, and all that call those.
    fn reaching(&self, mut next: Vec<Callee>) -> HashSet<Callee> {
        let mut reaching = HashSet::new();
        while let Some(callee) = next.pop() {
            if reaching.insert(callee) {
                next.extend(self.callers.get(&callee).into_iter().flatten());
            }
        }
        reaching
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The exports of this module that come to call `env.wanted`, in the order of their names.
    fn reaching(module: &str) -> Vec<Box<str>> {
        let bytes = wat::parse_str(format!(r#"(module (import "env" "wanted" (func $wanted)) {module})"#)).unwrap();
        let mut found: Vec<_> =
            exports(&bytes, |module, name| (module, name) == ("env", "wanted")).unwrap().into_iter().collect();
        found.sort();
        found
    }

    #[test]
    fn calls_are_followed_and_nothing_else() {
        let module = r#"
            (import "env" "other" (func $other))
            (memory (export "memory") 1)
            (func (export "a") call $wanted)
            (func (export "b") call $through)
            (func (export "c") call $other)
            (func (export "d") return_call $b)
            (func $b (if (i32.const 0) (then call $through)))
            (func $through call $round call $wanted)
            (func $round call $round call $through)"#;
        assert_eq!(reaching(module), ["a".into(), "b".into(), "d".into()]);
    }

    #[test]
    fn a_call_by_reference_may_come_to_whatever_is_referred_to() {
        let reader = r#"(func $reader call $wanted) (table $table 4 funcref)
            (func (export "indirect") (call_indirect (i32.const 0)))
            (func (export "none"))"#;
        let none: [Box<str>; 0] = [];
        assert_eq!(reaching(reader), none, "there is no reference to it");
        for referred in [
            "(elem (i32.const 0) $reader)",
            "(elem (i32.const 0) funcref (ref.null func) (ref.func $reader))",
            "(elem declare func $wanted) (func (table.set (i32.const 0) (ref.func $wanted)))",
            "(global funcref (ref.func $reader))",
        ] {
            assert_eq!(reaching(&format!("{reader} {referred}")), ["indirect".into()], "{referred}");
        }
    }

    #[test]
    fn what_is_no_module_is_an_error() {
        assert!(exports(b"\0asm\x01\0\0\0\x01", |_, _| true).is_err());
    }
}
