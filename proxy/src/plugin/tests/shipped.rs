//! The shipped plugins, as the build made them, on the real host: what the SDK and the host agreed on.

use super::*;
use crate::plugin::builtin;

fn shipped(name: &str, config: serde_json::Value) -> Result<Guest, LoadError> {
    let registry = Registry::new();
    let mut plugin = plugin(Source::Builtin(name.into()));
    plugin.config = config;
    plugin.budget.memory = 16 * 1024 * 1024;
    let loaded = Loaded::load(engine(), &plugin, &registry, builtin::lookup)?;
    let shard = registry.shard();
    Ok(Guest { instance: Instance::new(&loaded, &shard, Rc::default(), None), registry, shard, loaded })
}

/// One exchange through every hook.
fn exchange(guest: &Guest) -> Scope {
    let slot = guest.instance.open();
    let (mut scope, outcome) = guest.instance.call(Hook::RequestHead, slot, scope());
    assert!(matches!(outcome, Outcome::Continue), "{outcome:?}");
    scope.response = answered(200).response.take();
    let (scope, _) = guest.instance.call(Hook::ResponseHead, slot, scope);
    let (scope, _) = guest.instance.call(Hook::Log, slot, scope);
    guest.instance.release(slot);
    scope
}

#[test]
fn the_classifier_counts_times_logs_and_traces() {
    let config = serde_json::json!({ "label": "kind", "rules": [{ "path_prefix": "/users", "value": "api" }] });
    let guest = shipped("request-classifier", config).unwrap();
    for _ in 0..3 {
        let scope = exchange(&guest);
        assert_eq!(text(&scope, "kind"), "api");
        let [span] = &scope.spans[..] else { panic!("{:?}", scope.spans) };
        assert_eq!((&*span.name, span.ended.is_some()), ("classify", true));
        assert_eq!(span.detail.attributes, [("kind".into(), Value::Text("api".into()))]);
        assert_eq!(scope.span.attributes, [("kind".into(), Value::Text("api".into()))]);
    }
    assert_eq!(guest.value("requests_by_kind", &[("kind", "api")]), 3.0);
    assert_eq!(guest.value("requests_by_kind.duration", &[("kind", "api")]), 3.0);
    assert_eq!(guest.calls("log", "ok"), 3.0);
    assert_eq!(guest.loaded.report().unknown_imports, Vec::<String>::new());
}

#[test]
fn the_correlation_id_is_new_for_each_exchange_and_instance() {
    let config = serde_json::json!({ "header": "x-id", "log_field": "request.id" });
    let (one, two) = (shipped("correlation-id", config.clone()).unwrap(), shipped("correlation-id", config).unwrap());
    let ids: std::collections::HashSet<_> = [&one, &one, &two, &two]
        .into_iter()
        .map(|guest| {
            let scope = exchange(guest);
            assert_eq!(scope.correlation.header, "x-id");
            assert_eq!(text(&scope, "request.id"), &*scope.correlation.id);
            assert!(scope.correlation.id.starts_with("018bcfe5-6800-7"), "{}", scope.correlation.id);
            scope.correlation.id.clone()
        })
        .collect();
    assert_eq!(ids.len(), 4);
    assert_eq!(one.value("correlation_id.ids", &[("origin", "created")]), 2.0);
}

#[test]
fn a_refused_configuration_names_the_key() {
    let refused = shipped("correlation-id", serde_json::json!({ "format": "uuid" })).err().unwrap().to_string();
    assert!(refused.contains("config.format: unknown variant `uuid`"), "{refused}");
    assert!(shipped("correlation-id", serde_json::json!({})).is_ok());
    assert!(shipped("correlation-ids", serde_json::json!({})).is_err());
}
