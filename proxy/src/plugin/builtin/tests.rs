//! What a module that our SDK and our build made really contains.

use std::collections::BTreeSet;

use tidegate_abi::{EXPORT_RELEASE, EXPORT_RESUME, EXPORT_VERSION, Hook, MODULE};
use wasmtime::{Engine, Module};

use super::{lookup, names};

/// Every export of a module but what the toolchain adds.
fn exports(name: &str) -> BTreeSet<String> {
    let module = Module::new(&Engine::default(), lookup(name).unwrap()).unwrap();
    let exports = module.exports().map(|export| export.name().to_owned());
    exports.filter(|name| name != "memory" && name != "_initialize").collect()
}

fn set(names: &[&str]) -> BTreeSet<String> {
    names.iter().map(|&name| name.to_owned()).collect()
}

#[test]
fn the_shipped_plugins_are_there_and_others_are_not() {
    assert_eq!(names().collect::<Vec<_>>(), ["auth-callout", "body-metrics", "correlation-id", "request-classifier"]);
    assert!(lookup("correlation_id").is_none());
}

#[test]
fn a_module_exports_exactly_the_hooks_that_were_written() {
    let (configure, request_head) = (Hook::Configure.export(), Hook::RequestHead.export());
    assert_eq!(exports("correlation-id"), set(&[EXPORT_VERSION, configure, request_head]));
    // This one keeps something for each exchange, which it lets go with the last hook: it need not be told when that is over.
    let with_log = [EXPORT_VERSION, configure, request_head, Hook::Log.export()];
    assert_eq!(exports("request-classifier"), set(&with_log));
    // This one waits, so it is resumed, and told when there is nothing to wait for any more.
    let waiting = [EXPORT_VERSION, configure, request_head, EXPORT_RESUME, EXPORT_RELEASE];
    assert_eq!(exports("auth-callout"), set(&waiting));
    let [request_body, response_head, response_body] =
        [Hook::RequestBody, Hook::ResponseHead, Hook::ResponseBody].map(Hook::export);
    let bodies = [request_body, response_head, response_body];
    assert_eq!(exports("body-metrics"), set(&[&with_log[..], &bodies].concat()));
}

#[test]
fn a_module_needs_only_host_functions_of_the_abi_and_a_little_of_wasi() {
    for name in names() {
        let module = Module::new(&Engine::default(), lookup(name).unwrap()).unwrap();
        for import in module.imports() {
            let known = [MODULE, "wasi_snapshot_preview1"].contains(&import.module());
            assert!(known, "{name} imports {}.{}", import.module(), import.name());
        }
    }
}

#[test]
fn a_module_stays_small() {
    for name in names() {
        let size = lookup(name).unwrap().len();
        assert!(size < 300 * 1024, "{name} has {size} bytes");
    }
}
