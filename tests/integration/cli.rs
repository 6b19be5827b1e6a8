//! The command line: what it prints, how it ends.
//! It knows nothing of traffic, but for the demo's own.

use tidegate_tests::{Scratch, run};

const GOOD: &str = "listeners: [{ address: \"127.0.0.1:0\" }]\nroutes: [{ upstream: app }]\nupstreams: { app: { endpoints: [\"127.0.0.1:3000\"] } }\n";

#[test]
fn a_good_configuration_is_ok() {
    let folder = Scratch::new();
    folder.write("tidegate.yaml", GOOD);
    let checked = run(folder.path(), &["check"]);
    assert_eq!(checked.code(), 0, "{}", checked.text());
    assert!(checked.stdout.starts_with("ok"), "{}", checked.stdout);
}

#[test]
fn ten_errors_are_told_at_once() {
    let folder = Scratch::new();
    folder.write(
        "tidegate.yaml",
        r#"listeners:
  - { name: web, address: "localhost" }
  - { address: "127.0.0.1:8081", idle_timeout: 5 }
routes:
  - { upstrem: app }
  - { upstream: missing, limits: [none], plugins: [nope] }
  - { upstream: app, match: { path: "users" } }
upstreams:
  app: { endpoints: [], protocol: http3 }
limits:
  each: { key: client.adress, rate: 100 }
plugins:
  ids: { builtin: correlation-ids }
telemetry: { traces: { ratio: 2 } }
"#,
    );
    let checked = run(folder.path(), &["check", "-c", "tidegate.yaml"]);
    assert_eq!(checked.code(), 2);
    let text = checked.text();
    assert!(text.matches("error: ").count() >= 10, "{text}");
    for expected in
        ["did you mean `upstream`", "tidegate.yaml:5:", "routes[0].upstrem", "missing", "none", "nope", "http3", "^^^"]
    {
        assert!(text.contains(expected), "{expected} is missing:\n{text}");
    }
    // The same errors keep a start from happening.
    let started = run(folder.path(), &["run"]);
    assert_eq!(started.code(), 2);
    assert!(started.text().contains("did you mean `upstream`"));
    let json = run(folder.path(), &["check", "--format", "json"]);
    let report: serde_json::Value = serde_json::from_str(&json.stdout).unwrap();
    assert_eq!((json.code(), &report["ok"]), (2, &false.into()));
    assert!(report["diagnostics"].as_array().unwrap().len() >= 10);
}

#[test]
fn a_route_that_can_never_match_is_a_warning() {
    let folder = Scratch::new();
    folder.write(
        "tidegate.yaml",
        GOOD.replace("[{ upstream: app }]", "[{ upstream: app }, { match: { path: /a }, upstream: app }]"),
    );
    let checked = run(folder.path(), &["check"]);
    assert_eq!(checked.code(), 0);
    assert!(checked.text().contains("never"), "{}", checked.text());
}

#[test]
fn without_a_configuration_it_says_how_to_write_one() {
    let folder = Scratch::new();
    let started = run(folder.path(), &["run"]);
    assert_eq!(started.code(), 2);
    assert!(started.text().contains("listeners:") && started.text().contains("upstreams:"), "{}", started.text());
}

#[test]
fn a_port_that_is_taken_is_a_failure() {
    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let folder = Scratch::new();
    let address = taken.local_addr().unwrap().to_string();
    folder.write(
        "tidegate.yaml",
        format!("admin: {{ address: \"127.0.0.1:0\" }}\n{}", GOOD.replace("127.0.0.1:0", &address)),
    );
    let started = run(folder.path(), &["run"]);
    assert_eq!(started.code(), 1, "{}", started.text());
    assert!(started.text().contains(&address), "{}", started.text());
}

#[test]
fn an_environment_variable_that_is_not_set_is_an_error() {
    let folder = Scratch::new();
    folder.write("tidegate.yaml", GOOD.replace("127.0.0.1:3000", "${TIDEGATE_TEST_NOT_SET}"));
    let checked = run(folder.path(), &["check"]);
    assert_eq!(checked.code(), 2);
    assert!(checked.text().contains("TIDEGATE_TEST_NOT_SET"), "{}", checked.text());
    folder.write("tidegate.yaml", GOOD.replace("127.0.0.1:3000", "${TIDEGATE_TEST_NOT_SET:-127.0.0.1:3000}"));
    assert_eq!(run(folder.path(), &["check"]).code(), 0);
}

#[test]
fn version_schema_completions_and_help() {
    let folder = Scratch::new();
    let version = run(folder.path(), &["version"]);
    assert_eq!((version.code(), version.stdout.starts_with("tidegate 0.")), (0, true), "{}", version.stdout);
    let schema = run(folder.path(), &["schema"]);
    let schema: serde_json::Value = serde_json::from_str(&schema.stdout).unwrap();
    for key in ["listeners", "routes", "upstreams", "limits", "plugins", "telemetry", "admin", "workers", "defaults"] {
        assert!(!schema["properties"][key].is_null(), "{key}");
    }
    for shell in ["bash", "zsh", "fish"] {
        assert!(run(folder.path(), &["completions", shell]).stdout.contains("tidegate"), "{shell}");
    }
    let help = run(folder.path(), &["--help"]);
    assert_eq!(help.code(), 0);
    for word in ["run", "check", "demo", "schema", "version", "Exit codes"] {
        assert!(help.stdout.contains(word), "{word} is missing:\n{}", help.stdout);
    }
    assert_eq!(run(folder.path(), &["frobnicate"]).code(), 2);
    assert_eq!(run(folder.path(), &["check", "--colour"]).code(), 2);
}

#[test]
fn the_demo_ends_by_itself_and_everything_arrived() {
    let folder = Scratch::new();
    let demo = run(folder.path(), &["demo", "--for", "3s"]);
    assert_eq!(demo.code(), 0, "{}", demo.text());
    for word in ["proxy", "metrics", "admin", "classify", "trace", "log"] {
        assert!(demo.stdout.contains(word), "{word} is missing:\n{}", demo.stdout);
    }
    assert!(!demo.stdout.contains('\u{1b}'), "off a terminal the lines are plain");
}

#[test]
fn two_demos_do_not_fight_over_ports() {
    let folder = Scratch::new();
    let path = folder.path();
    std::thread::scope(|scope| {
        let first = scope.spawn(|| run(path, &["demo", "--for", "3s"]));
        let second = scope.spawn(|| run(path, &["demo", "--for", "3s"]));
        for demo in [first, second] {
            let demo = demo.join().unwrap();
            assert_eq!(demo.code(), 0, "{}", demo.text());
        }
    });
}

#[test]
fn a_plugin_that_does_not_load_is_an_error_to_check_even_where_a_start_goes_on_without_it() {
    let folder = Scratch::new();
    let plugin = "plugins: { odd: { file: odd.wasm } }\n";
    folder.write("tidegate.yaml", GOOD.replace("upstream: app }", "upstream: app, plugins: [odd] }") + plugin);
    folder.write("odd.wasm", "this is no module");
    let checked = run(folder.path(), &["check"]);
    assert_eq!(checked.code(), 2, "{}", checked.text());
    assert!(checked.text().contains("plugins.odd.file"), "{}", checked.text());
    let report: serde_json::Value =
        serde_json::from_str(&run(folder.path(), &["check", "--format", "json"]).stdout).unwrap();
    assert_eq!(report["ok"], false);
}

#[test]
fn a_log_that_cannot_be_written_is_an_error_to_check_which_leaves_nothing_behind() {
    let folder = Scratch::new();
    let log = |path: &str| format!("{GOOD}telemetry: {{ access_log: {{ output: {path} }} }}\n");
    folder.write("tidegate.yaml", log("no/such/folder/a.log"));
    let checked = run(folder.path(), &["check"]);
    assert_eq!(checked.code(), 2, "{}", checked.text());
    for word in ["tidegate.yaml:", "telemetry.access_log.output", "no/such/folder/a.log", "No such file"] {
        assert!(checked.text().contains(word), "{word}: {}", checked.text());
    }
    folder.write("tidegate.yaml", log("a.log"));
    assert_eq!(run(folder.path(), &["check"]).code(), 0);
    assert!(!folder.path().join("a.log").exists());
    folder.write("a.log", "what is there stays");
    assert_eq!(run(folder.path(), &["check"]).code(), 0);
    assert_eq!(std::fs::read_to_string(folder.path().join("a.log")).unwrap(), "what is there stays");
}

#[test]
fn a_demo_that_is_interrupted_ends_well_and_leaves_nothing_behind() {
    use std::io::{BufRead as _, BufReader};
    use std::process::{Command, Stdio};

    let folder = Scratch::new();
    let mut command = Command::new(tidegate_tests::tidegate());
    command.arg("demo").env("TMPDIR", folder.path()).stdin(Stdio::null()).stdout(Stdio::piped());
    let mut demo = command.spawn().unwrap();
    let mut lines = BufReader::new(demo.stdout.take().unwrap()).lines();
    assert!(lines.next().unwrap().unwrap().contains("demo"));
    assert!(Command::new("kill").args(["-s", "INT", &demo.id().to_string()]).status().unwrap().success());
    let said: Vec<_> = lines.map(Result::unwrap).collect();
    assert_eq!(demo.wait().unwrap().code(), Some(0), "{said:#?}");
    assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 0);
}
