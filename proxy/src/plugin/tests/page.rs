//! `docs/abi.md` says what the host and the abi crate say.

use std::collections::BTreeSet;

use tidegate_abi::{Hook, Mode, Number, Overflow, Text, Verdict, status};
use wasmtime::{Linker, Store};

use super::super::state::{Identity, State};
use super::{PAGE, engine, load_raw, module, plugin};
use crate::plugin::config::{Capability, Source};

/// A host function as the page has it.
pub(super) struct Function {
    pub name: &'static str,
    pub parameters: Vec<&'static str>,
    names: Vec<&'static str>,
    pub result: Option<&'static str>,
}

// === impl Function ===

impl Function {
    /// How many pairs of pointer and length it takes.
    pub fn ranges(&self) -> usize {
        self.pairs().len()
    }

    /// The positions of the pointers that a length follows.
    fn pairs(&self) -> Vec<usize> {
        let is_length = |name: &str| name == "cap" || name == "len" || name.ends_with("_len");
        (1..self.names.len()).filter(|&at| is_length(self.names[at])).map(|at| at - 1).collect()
    }

    /// A call of it in which every argument is 0, but for the range with this number.
    pub fn call(&self, lying: usize, lie: &str) -> String {
        let lies_at = self.pairs()[lying];
        let arguments = self
            .parameters
            .iter()
            .enumerate()
            .filter(|(at, _)| *at != lies_at + 1)
            .map(|(at, kind)| if at == lies_at { lie.to_owned() } else { format!("({kind}.const 0)") });
        format!("(call ${} {})", self.name, arguments.collect::<Vec<_>>().join(" "))
    }
}

/// Every row of a table whose first two cells are a name and a signature, after the heading of host functions.
pub(super) fn functions() -> Vec<Function> {
    let (_, page) = PAGE.split_once("## Host functions").unwrap();
    let row = |line: &'static str| {
        let mut cells = line.strip_prefix("| `")?.split("` | `");
        let (name, signature) = (cells.next()?, cells.next()?.split('`').next()?);
        let (parameters, result) = signature.strip_prefix('(')?.split_once(')')?;
        let (names, parameters) = parameters.split(", ").filter_map(|parameter| parameter.split_once(": ")).unzip();
        Some(Function { name, parameters, names, result: result.strip_prefix(" -> ") })
    };
    page.lines().filter_map(row).collect()
}

fn names() -> BTreeSet<String> {
    functions().iter().map(|function| function.name.to_owned()).collect()
}

#[test]
fn the_page_the_crate_and_the_host_have_the_same_functions() {
    let source = include_str!("../../../../sdk/abi/src/lib.rs");
    let (_, imports) = source.split_once("pub mod imports").unwrap();
    let declared = imports.lines().filter_map(|line| line.split_once(": &str = \"")?.1.split('"').next());
    let declared: BTreeSet<String> = declared.map(str::to_owned).collect();
    assert!(declared.len() > 20);
    assert_eq!(names(), declared);

    let mut linker = Linker::new(engine().wasm());
    super::super::host::link(&mut linker).unwrap();
    let identity = std::sync::Arc::new(Identity::new(&plugin(Source::Builtin("none".into()))));
    let state = State::new(identity, std::rc::Rc::default(), None);
    let mut store = Store::new(engine().wasm(), state);
    let linked: Vec<_> =
        linker.iter(&mut store).map(|(module, name, _)| (module.to_owned(), name.to_owned())).collect();
    let native = linked.iter().filter(|(module, _)| module == tidegate_abi::MODULE).map(|(_, name)| name.clone());
    assert_eq!(names(), native.collect());
    let (_, wasi) = PAGE.split_once("## WASI").unwrap();
    for (_, name) in linked.iter().filter(|(module, _)| module != tidegate_abi::MODULE) {
        assert!(wasi.contains(&format!("`{name}`")), "`{name}` is not on the page");
    }
}

#[test]
fn a_module_that_imports_every_function_as_the_page_says_links() {
    let loaded = load_raw(&module("")).unwrap();
    assert!(loaded.report().unknown_imports.is_empty(), "{:?}", loaded.report());
}

#[test]
fn the_page_has_every_hook_property_verdict_and_status() {
    for hook in Hook::ALL {
        assert!(PAGE.contains(&format!("| `{}` | `(", hook.export())), "{hook:?}");
        assert!(PAGE.contains(&format!("| `{}` | ", hook.name())), "{hook:?}");
    }
    for text in Text::ALL {
        assert!(PAGE.contains(&format!("| {} | `{text:?}` |", *text as i32)), "{text:?}");
    }
    for number in Number::ALL {
        assert!(PAGE.contains(&format!("| {} | `{number:?}` |", *number as i32)), "{number:?}");
    }
    for verdict in [Verdict::Continue, Verdict::Pending, Verdict::Reply, Verdict::Fail, Verdict::Close] {
        let name = format!("{verdict:?}").to_lowercase();
        assert!(PAGE.contains(&format!("| {} | {name} |", verdict as i32)), "{name}");
    }
    for (number, name) in [
        (status::OK, "ok"),
        (status::ABSENT, "absent"),
        (status::BUDGET, "budget"),
        (status::INVALID, "invalid"),
        (status::STAGE, "stage"),
        (status::DENIED, "denied"),
        (status::CONFLICT, "conflict"),
        (status::FAILED, "failed"),
    ] {
        assert!(PAGE.contains(&format!("| {number} | {name} |")), "{name}");
    }
    for mode in [Mode::Stream, Mode::Rewrite, Mode::Peek, Mode::Buffer, Mode::Skip] {
        let name = format!("{mode:?}").to_lowercase();
        assert!(PAGE.contains(&format!("| {} | {name} |", mode as i32)), "{name}");
    }
    for overflow in [Overflow::Pass, Overflow::Reject, Overflow::Fail] {
        let name = format!("{overflow:?}").to_lowercase();
        assert!(PAGE.contains(&format!("| {} | {name} |", overflow as i32)), "{name}");
    }
    for capability in Capability::ALL {
        assert!(PAGE.contains(&format!("| `{}` | ", capability.as_str())), "{capability:?}");
    }
    assert!(PAGE.contains(&format!("must return {}", tidegate_abi::VERSION)));
}
