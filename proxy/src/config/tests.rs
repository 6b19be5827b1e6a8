//! Whole configurations: what comes out of good ones, what is said of bad ones.

mod expected;

use std::path::{Path, PathBuf};

use super::{Diagnostics, Loaded, Severity, parse};
use crate::plugin::config::OnFailure;

/// Reads a text as `tidegate.yaml`, with a small environment.
fn read(text: &str) -> Result<Loaded, Diagnostics> {
    parse(text, "tidegate.yaml", &|name| match name {
        "HOST" => Some("10.0.0.9".to_owned()),
        "WORKERS" => Some("3".to_owned()),
        "TOKEN" => Some("s3cret".to_owned()),
        _ => None,
    })
}

fn good(text: &str) -> Loaded {
    read(text).unwrap_or_else(|faults| panic!("{faults}"))
}

/// What is wrong with a text, as it is shown.
fn bad(text: &str) -> String {
    read(text).expect_err("it should be refused").to_string()
}

/// A sound configuration with some lines more.
fn with(more: &str) -> String {
    format!(
        "listeners: [{{ address: \"0.0.0.0:8080\" }}]\nroutes: [{{ upstream: app }}]\n\
         upstreams: {{ app: {{ endpoints: [\"127.0.0.1:3000\"] }} }}\n{more}"
    )
}

#[test]
fn ten_lines_are_enough() {
    let loaded = good(include_str!("tests/ten_lines.yaml"));
    assert_eq!(loaded.config, expected::ten_lines());
    assert!(loaded.warnings.is_empty());
    assert_eq!(loaded.files, [PathBuf::from("tidegate.yaml"), PathBuf::from("plugins/checkout.wasm")]);
}

#[test]
fn everything_of_the_reference_example() {
    let loaded = good(include_str!("tests/full.yaml"));
    assert_eq!(loaded.config, expected::full());
    assert!(loaded.warnings.is_empty());
    let files = ["tidegate.yaml", "certs/site.pem", "certs/site.key", "certs/ca.pem"];
    assert_eq!(loaded.files, files.map(PathBuf::from));
}

#[test]
fn ten_errors_are_shown_at_once() {
    golden(include_str!("tests/ten_errors.yaml"), "ten_errors.txt", 10);
}

#[test]
fn errors_of_many_kinds_are_shown_at_once() {
    golden(include_str!("tests/many_kinds.yaml"), "many_kinds.txt", 40);
}

/// What is said must be what stands in the file; `UPDATE_GOLDEN=1` writes it.
fn golden(text: &str, name: &str, errors: usize) {
    let faults = read(text).unwrap_err();
    let found = format!("{faults}\n{}\n", faults.summary());
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("src/config/tests").join(name);
    if std::env::var_os("UPDATE_GOLDEN").is_some() {
        std::fs::write(&path, &found).unwrap();
    }
    assert_eq!(found, std::fs::read_to_string(&path).unwrap_or_default());
    assert_eq!(faults.errors(), errors);
}

#[test]
fn relative_paths_begin_where_the_configuration_is() {
    let text = with("plugins: { a: { file: p/a.wasm }, b: { file: /abs/b.wasm } }\ndefaults: { plugins: [a, b] }");
    let loaded = parse(&text, "/etc/tidegate/main.yaml", &|_| None).unwrap();
    let files = ["/etc/tidegate/main.yaml", "/etc/tidegate/p/a.wasm", "/abs/b.wasm"];
    assert_eq!(loaded.files, files.map(PathBuf::from));
}

#[test]
fn variables_are_typed_by_their_key() {
    let config = good(&with("workers: ${WORKERS}\nadmin: { address: \"${HOST}:${PORT:-9901}\" }")).config;
    assert_eq!(config.workers.map(std::num::NonZeroUsize::get), Some(3));
    assert_eq!(config.admin.address, Some("10.0.0.9:9901".parse().unwrap()));
}

#[test]
fn words_of_yaml_are_texts_where_a_text_is_wanted() {
    let text = with("telemetry: { service: { name: no, namespace: 1.0, attributes: { a: true, b: 007 } } }");
    let service = good(&text).config.telemetry.service;
    assert_eq!((&*service.name, service.namespace.as_deref()), ("no", Some("1.0")));
    let attributes: Vec<(&str, &str)> = service.attributes.iter().map(|(key, value)| (&**key, &**value)).collect();
    assert_eq!(attributes, [("a", "true"), ("b", "007")]);
}

#[test]
fn a_plugin_gets_its_values_as_yaml_means_them() {
    let text = with(
        "defaults: { plugins: [p] }\n\
         plugins: { p: { builtin: x, config: { i: -7, f: 1.5, h: 0x1f, t: true, n: ~, s: \"7\", w: yes, e: \"${HOST}\" } } }",
    );
    let json = serde_json::json!({
        "i": -7, "f": 1.5, "h": 31, "t": true, "n": null, "s": "7", "w": "yes", "e": "10.0.0.9"
    });
    assert_eq!(good(&text).config.plugins[0].config, json);
}

#[test]
fn names_keep_their_order() {
    let names = ["zulu", "alpha", "mike", "10", "9"];
    let entries: String = names.map(|name| format!("  {name}: {{ endpoints: [\"h:1\"] }}\n")).concat();
    let text =
        format!("listeners: [{{ address: \"[::]:80\" }}]\nroutes: [{{ upstream: mike }}]\nupstreams:\n{entries}");
    let loaded = good(&text);
    let found: Vec<&str> = loaded.config.upstreams.iter().map(|upstream| &*upstream.name).collect();
    assert_eq!(found, names);
    assert_eq!(loaded.config.routes[0].upstream, 2);
    assert_eq!(loaded.warnings.len(), 4, "four are never used");
}

#[test]
fn an_alias_stands_for_a_value() {
    let text = "listeners: [{ address: \"0.0.0.0:80\", head: &head { max_headers: 7 } }, { address: \"0.0.0.0:81\", head: *head }]\n\
                routes: [{ upstream: app }]\nupstreams: { app: { endpoints: [\"h:1\"] } }";
    let listeners = good(text).config.listeners;
    assert_eq!(listeners[0].head, listeners[1].head);
    assert_eq!(listeners[1].head.max_headers, 7);
}

#[test]
fn an_alias_bomb_is_refused() {
    let mut text = "a0: &a0 [x, x, x, x, x, x, x, x, x, x]\n".to_owned();
    for level in 1..20 {
        let before = level - 1;
        let row = vec![format!("*a{before}"); 10].join(", ");
        text.push_str(&format!("a{level}: &a{level} [{row}]\n"));
    }
    assert!(bad(&text).contains("more than 100000 values"));
    assert!(bad("a: &a [*a]").contains("inside its own anchor"));
    assert!(bad("a: *nowhere").contains("not valid YAML"));
}

#[test]
fn deep_nesting_is_refused() {
    for text in ["[".repeat(100_000), "{a: ".repeat(100_000), "- ".repeat(100_000), "? ".repeat(10_000)] {
        assert!(read(&text).is_err());
    }
    let deep = format!("plugins: {{ p: {{ builtin: x, config: {}{} }} }}", "[".repeat(60), "]".repeat(60));
    let level = format!("a: &a {}{}\nb: {}*a{}", "[".repeat(40), "]".repeat(40), "[".repeat(40), "]".repeat(40));
    assert!(good(&with(&format!("defaults: {{ plugins: [p] }}\n{deep}"))).warnings.is_empty());
    assert!(bad(&level).contains("nested more than 64 levels"));
}

#[test]
fn an_empty_file_says_what_is_needed() {
    for text in ["", "\n\n", "# nothing\n", "---\n", "~", "\u{feff}"] {
        let shown = bad(text);
        for key in ["listeners", "routes", "upstreams"] {
            assert!(shown.contains(&format!("missing key `{key}`")), "{text:?}: {shown}");
        }
    }
    assert!(bad("listeners: []\nroutes: []\nupstreams: {}").contains("an empty list"));
}

#[test]
fn columns_count_characters_and_carets_stand_below_them() {
    let shown = bad(&with("telemetry: { service: { name: \"サービス\", nam: x } }"));
    let lines: Vec<&str> = shown.lines().collect();
    assert_eq!(lines[1], " --> tidegate.yaml:4:39   telemetry.service.nam");
    assert_eq!(lines[3], "4 | telemetry: { service: { name: \"サービス\", nam: x } }");
    // Each of the four wide characters takes two columns of a terminal.
    assert_eq!(lines[4], format!("  | {}^^^ did you mean `name`?", " ".repeat(38 + 4)));
    let shown = bad(&with("workers: \tmany"));
    assert!(shown.contains(":4:11 ") && shown.contains("\n4 | workers:     many\n  |              ^^^^"), "{shown}");
}

#[test]
fn a_fault_of_syntax_has_its_place() {
    let shown = bad("listeners:\n  - address: a\n   b: c\n");
    assert!(shown.contains("not valid YAML") && shown.contains("--> tidegate.yaml:3:"), "{shown}");
    let shown = bad("listeners: [\n\n");
    assert!(shown.contains("--> tidegate.yaml:1:13"), "{shown}");
    assert!(bad("a: 1\n---\nb: 2\n").contains("one document"));
    assert!(bad("a: [x\n\u{0}").contains("error"));
    let shown = bad("a: { b: ${NAME} }");
    let tab = bad(&with("workers:\tmany"));
    assert!(tab.contains("4 | workers:    many"), "{tab}");
    assert!(shown.contains("stands in quotes: `\"${NAME}\"`"), "{shown}");
}

#[test]
fn secrets_are_never_shown() {
    let otlp =
        |headers: &str| with(&format!("telemetry: {{ otlp: {{ endpoint: \"http://t:1\", headers: {headers} }} }}"));
    let loaded = good(&otlp("{ authorization: \"Bearer ${TOKEN}\", x-empty: \"${NONE:-}\" }"));
    let headers = &loaded.config.telemetry.otlp.as_ref().unwrap().headers;
    assert_eq!(headers.len(), 1, "an empty one is not sent");
    assert_eq!(headers[0].1, "Bearer s3cret");
    for text in [
        otlp("{ authorization: \"Bearer s3cret\" }, endpont: x"),
        otlp("{ authorization: \"Bearer s3cret\", \"b d\": x }"),
        otlp("{ authorization: \"Bearer s3cret\\q\" }"),
        otlp("{ authorization: \"s3cret\\n\" }"),
        otlp("{ authorization: \"Bearer s3cret\" "),
        otlp("{ authorization: [s3cret] }"),
        otlp("{ authorization: { s3cret: [s3cret] } }"),
        otlp("{ authorization: \"${TOKEN}\\n\" }"),
        "{ workers: \"\\q\", telemetry: { otlp: { headers: { a: s3cret } } } }".to_owned(),
    ] {
        let faults = read(&text).unwrap_err();
        assert!(!faults.to_string().contains("s3cret"), "{faults}");
        assert!(!serde_json::to_string(&faults).unwrap().contains("s3cret"));
    }
    assert!(!format!("{loaded:?}").contains("s3cret"), "{loaded:?}");
}

#[test]
fn a_value_from_the_environment_is_shown_as_it_is_written() {
    let shown = bad(&with("drain_timeout: ${TOKEN}"));
    assert!(shown.contains("invalid duration `${TOKEN}`") && !shown.contains("s3cret"), "{shown}");
}

#[test]
fn warnings_refuse_nothing() {
    let text = "listeners: [{ address: \"0.0.0.0:443\" }]\n\
                routes:\n  - { upstream: app, match: { path_prefix: /a } }\n  - { upstream: app, match: { path: \"/a/{id}\" } }\n\
                upstreams:\n  app: { endpoints: [\"h:443\"] }\n  tls: { endpoints: [\"10.0.0.1:1\"], tls: {} }\n  raw: { endpoints: [\"h:1\"], tls: { verify: false } }\n";
    let loaded = good(text);
    let found: Vec<&str> = loaded.warnings.iter().map(|warning| &*warning.message).collect();
    assert_eq!(
        found,
        [
            "port 443 without TLS",
            "route `app-2` can never match",
            "port 443 without TLS",
            "upstream `tls` is never used",
            "the certificate must be for the address `10.0.0.1`",
            "upstream `raw` is never used",
            "the upstream's certificate is not verified",
        ]
    );
    assert!(loaded.warnings.iter().all(|warning| warning.severity == Severity::Warning));
}

#[test]
fn what_a_plugin_may_name_is_not_called_unused() {
    let text = |plugin: &str| {
        format!(
            "listeners: [{{ address: \"0.0.0.0:80\", plugins: [p] }}]\n\
             routes:\n  - {{ upstream: app, limits: [tenants] }}\n  - {{ name: canary, upstream: app }}\n\
             upstreams: {{ app: {{ endpoints: [\"h:1\"] }}, auth: {{ endpoints: [\"h:2\"] }} }}\n\
             limits: {{ tenants: {{ key: plugin.tenant, rate: 1/s }} }}\nplugins: {{ p: {plugin} }}\n\
             defaults: {{ plugins: [p] }}\n"
        )
    };
    let [unused, hidden, uncounted] =
        ["upstream `auth` is never used", "route `canary` can never match", "limit `tenants` never counts"];
    for (plugin, expected) in [
        ("{ file: a.wasm }", vec![]),
        ("{ file: a.wasm, allow: [call_outs] }", vec![hidden, uncounted]),
        ("{ file: a.wasm, allow: [routing] }", vec![]),
        ("{ file: a.wasm, allow: [] }", vec![hidden, unused, uncounted]),
        // A shipped one names what its configuration names.
        ("{ builtin: x }", vec![hidden, unused]),
        ("{ builtin: x, config: { rules: [{ ask: auth }] } }", vec![hidden]),
        ("{ builtin: x, config: { to: { canary: 1 } } }", vec![unused]),
    ] {
        let loaded = good(&text(plugin));
        let found: Vec<&str> = loaded.warnings.iter().map(|warning| &*warning.message).collect();
        assert_eq!(found, expected, "{plugin}");
    }
}

#[test]
fn a_plugin_of_a_listener_is_used() {
    let text = "listeners: [{ address: \"0.0.0.0:80\", plugins: [b, a] }]\nroutes: [{ upstream: app }]\n\
                upstreams: { app: { endpoints: [\"h:1\"] } }\n\
                plugins: { a: { file: a.wasm }, b: { file: b.wasm, isolation: exchange } }";
    let loaded = good(text);
    assert_eq!(loaded.config.listeners[0].plugins, [1, 0]);
    assert_eq!(loaded.config.plugins[1].isolation, crate::plugin::config::Isolation::Exchange);
    assert!(loaded.warnings.is_empty(), "{:?}", loaded.warnings);
}

#[test]
fn help_leads_to_what_is_accepted() {
    let helps = |more: &str| {
        let faults = read(&with(more)).unwrap_err();
        faults.iter().map(|fault| fault.help.clone().unwrap_or_default()).collect::<Vec<_>>()
    };
    let plugin = |allow: &str| {
        helps(&format!("plugins: {{ p: {{ file: p.wasm, allow: {allow} }} }}\ndefaults: {{ plugins: [p] }}"))
    };
    assert_eq!(plugin("metrics"), ["did you mean `[metrics]`?"]);
    assert_eq!(plugin("metric"), ["write a list; did you mean `metrics`?"]);
    assert!(plugin("all")[0].starts_with("write a list; allowed: `metrics`, `log_fields`"), "{:?}", plugin("all"));
    for written in ["/var/cache", "off"] {
        let help = "write `true`, `false`, or a map with `directory`";
        assert_eq!(helps(&format!("plugin_cache: {written}")), [help]);
    }
}

#[test]
fn compiled_plugins_are_kept_where_the_user_keeps_caches() {
    for (written, variables, expected) in [
        ("", &[("HOME", "/home/edge")][..], Some("/home/edge/.cache/tidegate")),
        ("", &[("HOME", "/home/edge"), ("XDG_CACHE_HOME", "/caches")], Some("/caches/tidegate")),
        ("", &[("HOME", "/home/edge"), ("XDG_CACHE_HOME", "cache")], Some("/home/edge/.cache/tidegate")),
        ("", &[], None),
        ("plugin_cache: true", &[("HOME", "/home/edge")], Some("/home/edge/.cache/tidegate")),
        ("plugin_cache: false", &[("HOME", "/home/edge")], None),
        ("plugin_cache: { directory: compiled }", &[("HOME", "/home/edge")], Some("/etc/tidegate/compiled")),
    ] {
        let environment =
            |name: &str| variables.iter().find(|(set, _)| *set == name).map(|(_, value)| (*value).to_owned());
        let loaded = parse(&with(written), "/etc/tidegate/main.yaml", &environment).unwrap();
        assert_eq!(loaded.config.plugin_cache, expected.map(PathBuf::from), "{written} {variables:?}");
    }
}

#[test]
fn a_guard_that_fails_lets_nobody_in_unless_that_is_said() {
    for (plugin, expected) in [
        ("builtin: auth-callout", OnFailure::Closed),
        ("builtin: auth-callout, on_failure: open", OnFailure::Open),
        ("builtin: body-metrics", OnFailure::Open),
        ("file: p.wasm", OnFailure::Open),
        ("file: p.wasm, on_failure: closed", OnFailure::Closed),
    ] {
        let loaded = good(&with(&format!("plugins: {{ p: {{ {plugin} }} }}")));
        assert_eq!(loaded.config.plugins[0].on_failure, expected, "{plugin}");
    }
}

#[test]
fn fields_of_every_line_have_names_of_their_own() {
    let text = |key: &str| with(&format!("telemetry: {{ access_log: {{ fields: {{ \"{key}\": x }} }} }}"));
    assert_eq!(good(&text("environment")).config.telemetry.access_log.unwrap().fields.len(), 1);
    for (key, said) in
        [("status", "the proxy's own"), ("error.reason", "the proxy's own"), ("a b", "no name"), ("", "no name")]
    {
        let shown = bad(&text(key));
        assert!(shown.contains(said) && shown.contains("telemetry.access_log.fields"), "{shown}");
    }
}

#[test]
fn bodies_that_are_not_seen_cannot_be_changed() {
    let text =
        |allow: &str| with(&format!("defaults: {{ plugins: [p] }}\nplugins: {{ p: {{ file: a, allow: {allow} }} }}"));
    let loaded = good(&text("[metrics, change_bodies]"));
    assert_eq!(loaded.warnings[0].message, "`change_bodies` without `read_bodies`");
    assert!(good(&text("[read_bodies, change_bodies]")).warnings.is_empty());
}

#[test]
fn a_later_stage_can_point_at_a_key() {
    let loaded = good(include_str!("tests/full.yaml"));
    let fault = loaded.error_at(&["plugins", "classify", "config", "rules", "1", "value"], "no such value");
    let shown = fault.to_string();
    assert!(shown.contains("plugins.classify.config.rules[1].value\n"), "{shown}");
    let fault = loaded.error_at(&["plugins", "classify", "required"], "cannot load");
    assert!(fault.to_string().contains("   plugins.classify\n"), "{fault}");
}

#[test]
fn diagnostics_are_json_for_tools() {
    let json = serde_json::to_value(read(&with("wokers: 1")).unwrap_err()).unwrap();
    let expected = serde_json::json!([{
        "severity": "error", "file": "tidegate.yaml", "line": 4, "column": 1, "path": "wokers",
        "message": "unknown key `wokers`", "help": "did you mean `workers`?",
    }]);
    assert_eq!(json, expected);
}

/// Texts that were made to break a reader, and every beginning of every one of them and of the good ones.
#[test]
fn no_text_makes_it_panic() {
    let corpus = Path::new(env!("CARGO_MANIFEST_DIR")).join("src/config/tests");
    let mut texts = Vec::new();
    for directory in [corpus.join("corpus"), corpus] {
        for entry in std::fs::read_dir(directory).unwrap() {
            let path = entry.unwrap().path();
            if path.is_file() {
                texts.push(String::from_utf8_lossy(&std::fs::read(path).unwrap()).into_owned());
            }
        }
    }
    assert!(texts.len() > 20);
    for text in texts {
        let _ = read(&text).map_err(|faults| faults.to_string());
        let step = (text.len() / 40).max(1);
        for (end, _) in text.char_indices().step_by(step) {
            let _ = read(&text[..end]).map_err(|faults| faults.to_string());
        }
    }
}

#[test]
fn what_cannot_be_read_is_said() {
    let faults = super::load(Path::new("/nowhere/tidegate.yaml")).unwrap_err();
    assert!(faults.to_string().starts_with("error: cannot read /nowhere/tidegate.yaml: "), "{faults}");
}
