//! Modules that cannot load, or that are no modules: what is said of them, and that everything else starts without them.
//! It knows nothing of what a plugin does once it runs.

use tidegate_tests::{eventually, resident_bytes, wasm};

use super::fixture;
use super::scene::Scene;

const MEMORY: &str = "(memory (export \"memory\") 1)";
const VERSION: &str = "(func (export \"tidegate_abi_version\") (result i32) (i32.const 1))";

/// A whole module, which need not have what every plugin has.
fn module(body: &str) -> Vec<u8> {
    wat::parse_str(format!("(module {body})")).unwrap()
}

fn request_head(body: &str) -> Vec<u8> {
    wasm(&format!("{MEMORY} (func (export \"tidegate_request_head\") (param i32) (result i32) {body})"))
}

/// A module with a section of so many bytes that means nothing.
fn padded(bytes: usize) -> Vec<u8> {
    let mut module = request_head("(i32.const 0)");
    let mut size = bytes;
    module.push(0);
    // The section's size as LEB128; its name is empty.
    loop {
        let byte = u8::try_from(size & 0x7f).unwrap();
        size >>= 7;
        module.push(if size == 0 { byte } else { byte | 0x80 });
        if size == 0 {
            break;
        }
    }
    module.resize(module.len() + bytes, 0);
    module
}

/// It is not loaded: its routes go on without it or are refused, the operator is told what is wrong, and nobody else notices.
async fn left_out(what: &str, module: &[u8], said: &str) {
    let scene = Scene::new(module, "");
    assert_eq!(scene.open().await.status, 200, "{what}");
    let answer = scene.closed().await;
    assert_eq!((answer.status, answer.reason().as_str()), (503, "plugin_unavailable"), "{what}");
    scene.state(0.0);
    let line = scene.line("closed");
    assert_eq!(line["error"]["source"], "plugin", "{what}");
    let told = scene.proxy.stderr_text();
    let told: Vec<_> = told.lines().filter(|line| line.contains("open") && line.contains(said)).collect();
    assert!(!told.is_empty(), "{what}: {said:?} was not said:\n{}", scene.proxy.stderr_text());
    scene.end();
}

#[tokio::test]
async fn what_cannot_load_does_not_stop_the_rest() {
    let component: &[u8] = b"\0asm\x0d\0\x01\0";
    for (what, module, said) in [
        ("no wasm", b"this is no wasm".to_vec(), "not a wasm module"),
        ("an ELF file", b"\x7fELF\x02\x01\x01".to_vec(), "not a wasm module"),
        ("empty", Vec::new(), "empty"),
        ("cut", request_head("(i32.const 0)")[..60].to_vec(), "does not compile"),
        ("a component", component.to_vec(), "component"),
    ] {
        left_out(what, &module, said).await;
    }
}

#[tokio::test]
async fn exports_and_imports_of_wrong_types_are_named() {
    for (what, module, said) in [
        (
            "no memory",
            wasm("(func (export \"tidegate_request_head\") (param i32) (result i32) (i32.const 0))"),
            "memory",
        ),
        (
            "a hook without parameters",
            wasm(&format!("{MEMORY} (func (export \"tidegate_request_head\"))")),
            "tidegate_request_head",
        ),
        ("hooks of all wrong types", fixture("wrong_exports"), "tidegate_"),
        ("a memory that is a function", module(&format!("{VERSION} (func (export \"memory\"))")), "memory"),
        ("no version", module(MEMORY), "tidegate_abi_version"),
        (
            "another version",
            module(&format!("{MEMORY} (func (export \"tidegate_abi_version\") (result i32) (i32.const 7))")),
            "7",
        ),
        (
            "a host function of another type",
            wasm(&format!("(import \"tidegate_v1\" \"log_line\" (func (param f64))) {MEMORY}")),
            "log_line",
        ),
        (
            "a memory from the host",
            wasm("(import \"env\" \"memory\" (memory 1)) (export \"memory\" (memory 0))"),
            "env.memory",
        ),
        ("a global from the host", wasm(&format!("(import \"env\" \"stack\" (global i32)) {MEMORY}")), "env.stack"),
    ] {
        left_out(what, &module, said).await;
    }
}

#[tokio::test]
async fn what_fails_or_loops_before_it_is_configured_is_left_out() {
    let configure = |body: &str| wasm(&format!("{MEMORY} (func (export \"tidegate_configure\") (result i32) {body})"));
    for (what, module, said) in [
        ("configure that traps", configure("unreachable"), "configuring"),
        ("configure that refuses", configure("(i32.const 3)"), "refused"),
        ("configure that waits", configure("(i32.const 1)"), "tidegate_configure"),
        ("configure that loops", configure("(loop br 0) (i32.const 0)"), "finish"),
        ("a start function that loops", fixture("loop_at_start"), "finish"),
        ("a constructor that loops", fixture("loop_in_initialize"), "finish"),
        ("data beyond the memory", fixture("trap_at_start"), "instantiated"),
        ("memory beyond the budget", wasm("(memory (export \"memory\") 2000)"), "budget.memory"),
    ] {
        left_out(what, &module, said).await;
    }
}

#[tokio::test]
async fn a_module_of_100_megabytes_is_not_even_read() {
    let scene = Scene::new(padded(100 << 20), "");
    assert_eq!((scene.open().await.status, scene.closed().await.status), (200, 503));
    scene.state(0.0);
    assert!(scene.proxy.stderr_text().contains("bytes; a module may have at most"), "{}", scene.proxy.stderr_text());
    assert!(resident_bytes(scene.proxy.id()) < 100 << 20, "{}", resident_bytes(scene.proxy.id()));
    scene.end();
}

#[tokio::test]
async fn a_module_that_is_large_for_no_reason_loads() {
    let scene = Scene::new(padded(10 << 20), "");
    assert_eq!((scene.open().await.status, scene.closed().await.status), (200, 200));
    scene.state(1.0);
    scene.end();
}

#[tokio::test]
async fn a_module_that_goes_bad_on_disk_does_not_replace_the_one_that_runs() {
    let scene = Scene::new(request_head("(i32.const 0)"), "");
    assert_eq!(scene.closed().await.status, 200);
    for bad in [padded(100 << 20), b"no wasm".to_vec(), fixture("loop_at_start"), fixture("wrong_exports")] {
        scene.proxy.write("hostile.wasm", bad);
        scene.proxy.ask_admin("POST", "/-/reload", "");
        // The one that ran before goes on.
        assert_eq!((scene.open().await.status, scene.closed().await.status), (200, 200));
        scene.bystander.goes_on();
    }
    scene.proxy.write("hostile.wasm", request_head("unreachable"));
    assert_eq!(scene.proxy.ask_admin("POST", "/-/reload", "").status(), 200);
    eventually("the next good one replaces it", || {
        scene.proxy.scrape().value("tidegate_plugin_generation", &[("plugin", "closed")]) > 1.0
    });
    assert_eq!(scene.closed().await.status, 500);
    scene.end();
}

#[tokio::test]
async fn a_missing_import_is_named_and_traps_only_when_called() {
    let module = |call: &str| {
        wasm(&format!(
            "(import \"elsewhere\" \"frobnicate\" (func $f)) {MEMORY}
             (func (export \"tidegate_request_head\") (param i32) (result i32) {call} (i32.const 0))"
        ))
    };
    let scene = Scene::new(module(""), "");
    assert_eq!(scene.closed().await.status, 200);
    assert!(scene.proxy.stderr_text().contains("frobnicate"), "{}", scene.proxy.stderr_text());
    scene.end();
    let scene = Scene::new(module("(call $f)"), "");
    assert_eq!(scene.closed().await.reason(), "plugin_trap");
    scene.end();
}

#[tokio::test]
async fn a_required_plugin_refuses_the_configuration() {
    let folder = tidegate_tests::Scratch::new();
    folder.write("bad.wasm", "no wasm");
    folder.write(
        "tidegate.yaml",
        "listeners: [{ address: \"127.0.0.1:0\" }]\nroutes: [{ upstream: app, plugins: [bad] }]\n\
         upstreams: { app: { endpoints: [\"127.0.0.1:1\"] } }\nplugins: { bad: { file: bad.wasm, required: true } }\n",
    );
    let checked = tidegate_tests::run(folder.path(), &["check", "-c", "tidegate.yaml"]);
    assert_eq!(checked.code(), 2, "{}", checked.text());
    assert!(checked.text().contains("bad"), "{}", checked.text());
    assert_eq!(tidegate_tests::run(folder.path(), &["run", "-c", "tidegate.yaml"]).code(), 2);
}
