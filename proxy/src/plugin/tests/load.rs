//! Loading: what is refused, in which words, and what is only reported.

use super::*;

const SHELL: &str = r#"(memory (export "memory") 1) (func (export "tidegate_abi_version") (result i32) (i32.const 1))"#;

fn error(wat: &str) -> String {
    load_raw(wat).unwrap_err().to_string()
}

fn error_of_bytes(bytes: &[u8]) -> String {
    load_bytes(&Registry::new(), bytes, |_| {}).unwrap_err().to_string()
}

#[test]
fn what_is_no_module_is_told_apart() {
    assert!(error_of_bytes(b"").contains("it is empty"));
    assert!(error_of_bytes(b"\x7fELF....").contains("not a wasm module"));
    assert!(error_of_bytes(b"\0asm\x0d\0\x01\0").contains("a wasm component"));
    assert!(error_of_bytes(b"\0asm\x01\0\0\0\xff\xff").contains("does not compile"));
    let missing = plugin(Source::File("/nowhere/plugin.wasm".into()));
    let error = Loaded::load(engine(), &missing, &Registry::new(), no_builtin).unwrap_err();
    assert!(error.to_string().contains("cannot read `/nowhere/plugin.wasm`"));
    let unknown = plugin(Source::Builtin("nothing".into()));
    let error = Loaded::load(engine(), &unknown, &Registry::new(), no_builtin).unwrap_err();
    assert!(error.to_string().contains("no plugin `nothing` is shipped"));
    assert!(error.to_string().contains("`correlation-id`"), "the shipped ones are named: {error}");
}

#[test]
fn a_wrong_export_is_named_with_what_it_must_be() {
    assert!(error("(module)").contains("the export `memory` is missing"));
    assert!(error(r#"(module (memory (export "memory") 1))"#).contains("the export `tidegate_abi_version` is missing"));
    let wrong = error(&format!(r#"(module {SHELL} (func (export "tidegate_log") (param i64)))"#));
    assert!(wrong.contains("`tidegate_log` is a function `(i64)`, but must be a function `(i32)`"), "{wrong}");
    let wrong = error(&format!(r#"(module {SHELL} (global (export "tidegate_tick") i32 (i32.const 1)))"#));
    assert!(wrong.contains("`tidegate_tick` is a global"), "{wrong}");
}

#[test]
fn another_version_of_the_abi_is_refused() {
    let other =
        r#"(module (memory (export "memory") 1) (func (export "tidegate_abi_version") (result i32) (i32.const 9)))"#;
    assert!(error(other).contains("built for version 9"));
}

#[test]
fn an_unknown_import_is_reported_and_traps_only_when_it_is_called() {
    let guest = guest(
        r#"(import "env" "mystery" (func $mystery))
           (func (export "tidegate_request_head") (param i32) (result i32) (i32.const 0))
           (func (export "tidegate_response_head") (param i32) (result i32) (call $mystery) (i32.const 0))
           (func (export "tidegate_requset_head"))"#,
    );
    assert_eq!(guest.loaded.report().unknown_imports, ["env.mystery"]);
    assert_eq!(guest.loaded.report().unknown_exports, ["tidegate_requset_head"]);
    assert!(matches!(guest.request().1, Outcome::Continue));
    let (_, outcome) = guest.call(Hook::ResponseHead, answered(200));
    assert!(format!("{outcome:?}").contains("env::mystery"), "{outcome:?}");
}

#[test]
fn an_import_of_another_type_is_an_error() {
    let wrong = error(&format!(r#"(module (import "tidegate_v1" "text_read" (func (param i64))) {SHELL})"#));
    assert!(wrong.contains("text_read"), "{wrong}");
    let wrong = error(&format!(r#"(module (import "env" "table" (table 1 funcref)) {SHELL})"#));
    assert!(wrong.contains("`env.table` is a table"), "{wrong}");
}

#[test]
fn a_plugin_can_refuse_its_config_in_its_own_words() {
    let refusing = module(
        r#"(func (export "tidegate_configure") (result i32) (call $refuse @"`tenants` is empty") (i32.const 3))"#,
    );
    assert_eq!(error(&refusing), "refused its config: `tenants` is empty");
}

#[test]
fn a_configure_that_traps_loops_or_answers_nonsense_is_an_error() {
    let configure = |body: &str| {
        load_raw(&module(&format!(r#"(func (export "tidegate_configure") (result i32) {body})"#))).unwrap_err()
    };
    assert!(configure("unreachable").to_string().contains("unreachable"));
    assert!(configure("(i32.const 1)").to_string().contains("returned 1"));
    assert!(matches!(configure("(loop $again (br $again)) (i32.const 0)"), LoadError::Slow(_)));
}

#[test]
fn memory_beyond_the_budget_is_refused_before_it_is_reserved() {
    let wat = r#"(module (memory (export "memory") 60000) (func (export "tidegate_abi_version") (result i32) (i32.const 1)))"#;
    assert!(error(wat).contains("`budget.memory` is 262144"));
}

#[test]
fn the_metrics_tell_what_is_loaded() {
    let registry = Registry::new();
    let good = wat::parse_str(module("")).unwrap();
    let name = |plugin: &mut Plugin| plugin.name = "told".into();
    let read = |name: &str| registry.gather().value(name, &[("plugin", "told")]).map(|value| value.as_f64());
    load_bytes(&registry, b"no", name).unwrap_err();
    assert_eq!(read("tidegate.plugin.state"), Some(0.0));
    let first = load_bytes(&registry, &good, name).unwrap();
    assert_eq!(read("tidegate.plugin.state"), Some(1.0));
    load_bytes(&registry, b"no", name).unwrap_err();
    assert_eq!(read("tidegate.plugin.state"), Some(1.0), "the first one still runs");
    let second = load_bytes(&registry, &good, name).unwrap();
    assert_eq!((first.report().generation, second.report().generation), (1, 2));
    assert_eq!(read("tidegate.plugin.generation"), Some(1.0), "nobody sees the second one yet");
    assert_eq!(read("tidegate.plugin.generations"), Some(2.0));
    second.enter();
    assert_eq!(read("tidegate.plugin.generation"), Some(2.0));
    drop(first);
    assert_eq!(read("tidegate.plugin.generations"), Some(1.0));
    assert_eq!(read("tidegate.plugin.state"), Some(1.0));
    drop(second);
    assert_eq!(read("tidegate.plugin.state"), Some(0.0));
    assert_eq!(read("tidegate.plugin.generations"), Some(0.0));
}

#[test]
fn a_changed_file_or_config_is_noticed() {
    let path = std::env::temp_dir().join(format!("tidegate-plugin-current-{}.wasm", std::process::id()));
    std::fs::write(&path, wat::parse_str(module("")).unwrap()).unwrap();
    let plugin = plugin(Source::File(path.clone()));
    let loaded = Loaded::load(engine(), &plugin, &Registry::new(), no_builtin).unwrap();
    assert!(loaded.is_current(&plugin));
    assert!(!loaded.is_current(&Plugin { config: serde_json::Value::Null, ..plugin.clone() }));
    let modified = std::fs::metadata(&path).unwrap().modified().unwrap();
    let write = |wat: &str| {
        std::fs::write(&path, wat::parse_str(module(wat)).unwrap()).unwrap();
        std::fs::File::options().write(true).open(&path).unwrap().set_modified(modified).unwrap();
    };
    // Neither the length nor the time tells.
    write("(global i32 (i32.const 1))");
    let loaded = Loaded::load(engine(), &plugin, &Registry::new(), no_builtin).unwrap();
    write("(global i32 (i32.const 2))");
    assert!(!loaded.is_current(&plugin));
    write("(global i32 (i32.const 1))");
    assert!(loaded.is_current(&plugin));
    std::fs::remove_file(path).unwrap();
}

#[test]
fn two_plugins_cannot_give_one_metric_two_shapes() {
    let registry = Registry::new();
    let define = |kind: &str| {
        let metric = format!(r"\0{kind}\00\00\00\01\00\00\00m\00\00\00\00\00\00\00\00\00\00\00\00\00\00\00\00");
        let body = format!(
            r#"(func (export "tidegate_configure") (result i32) (drop (call $define_metric @"{metric}")) (i32.const 0))"#
        );
        load_bytes(&registry, &wat::parse_str(module(&body)).unwrap(), |_| {}).map(|_| ())
    };
    define("0").unwrap();
    define("0").unwrap();
    assert!(define("1").unwrap_err().to_string().contains("cannot define the metric `m`"));
}

/// Counts each of these label values once, one a request.
fn counting(values: &[&str]) -> Vec<u8> {
    let list: String = values.iter().map(|value| format!(r"\02\00\00\00{value}")).collect();
    let body = format!(
        r#"(func (export "tidegate_configure") (result i32)
              (drop (call $define_label_set @"\01\00\00\00n\{:02x}\00\00\00{list}"))
              (drop (call $define_metric @"\00\00\00\00\01\00\00\00m\00\00\00\00\00\00\00\00\01\00\00\00\00\00\00\00\00\00\00\00"))
              (i32.const 0))
           (global $next (mut i32) (i32.const 0))
           {}"#,
        values.len(),
        on_request(
            "(drop (call $metric_add (i32.const 0) (global.get $next) (f64.const 1)))
             (global.set $next (i32.add (global.get $next) (i32.const 1)))"
        )
    );
    wat::parse_str(module(&body)).unwrap()
}

#[test]
fn generations_share_their_series_and_what_none_can_say_goes() {
    let registry = Registry::new();
    let shard = registry.shard();
    let named = |plugin: &mut Plugin| (plugin.name, plugin.budget.series) = ("shares".into(), 4);
    let run = |values: &[&str]| {
        let loaded = load_bytes(&registry, &counting(values), named).unwrap();
        let instance = Instance::new(&loaded, &shard, Rc::default(), None);
        for _ in values {
            instance.call(Hook::RequestHead, instance.open(), scope());
        }
        loaded
    };
    let points = || {
        let snapshot = registry.gather();
        let family = snapshot.families.iter().find(|family| family.family.definition().name == "m").unwrap();
        let mut points: Vec<_> =
            family.points.iter().map(|point| (point.labels[1].to_string(), point.value.as_f64())).collect();
        points.sort_by(|a, b| a.0.cmp(&b.0));
        points
    };
    let point = |value: &str, count| (value.to_owned(), count);
    let told = || registry.gather().value("tidegate.plugin.series", &[("plugin", "shares")]).unwrap().as_f64();

    let first = run(&["a1", "a2", "a3"]);
    assert_eq!((points(), told()), (["a1", "a2", "a3"].map(|value| point(value, 1.0)).to_vec(), 3.0));
    // Both are there: one budget, and what both can say counts on.
    let second = run(&["a3", "b1", "b2"]);
    let both = [("a1", 1.0), ("a2", 1.0), ("a3", 2.0), ("b1", 1.0), ("other", 1.0)];
    assert_eq!((points(), told()), (both.map(|(value, count)| point(value, count)).to_vec(), 4.0));
    drop(first);
    let rest = [("a3", 2.0), ("b1", 1.0), ("other", 1.0)];
    assert_eq!((points(), told()), (rest.map(|(value, count)| point(value, count)).to_vec(), 2.0));
    // The last one leaves its values for whoever comes after it.
    drop(second);
    let _third = run(&["b2", "b1"]);
    let rest = [("a3", 2.0), ("b1", 2.0), ("b2", 1.0), ("other", 1.0)];
    assert_eq!((points(), told()), (rest.map(|(value, count)| point(value, count)).to_vec(), 3.0));
}
