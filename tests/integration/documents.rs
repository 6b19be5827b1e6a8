//! The documents beside the code: links lead somewhere, named tests and metrics exist, every alert has its runbook.
//! It does not judge what they say.

mod links;
mod queries;

use std::collections::BTreeSet;

use tidegate_tests::workspace;

use crate::house::files;
use queries::{metrics_of_config, metrics_of_reference, names_in};

fn read(path: &str) -> String {
    std::fs::read_to_string(workspace().join(path)).unwrap_or_else(|error| panic!("{path}: {error}"))
}

/// The cells of the tables' rows in a part of a document.
fn rows(text: &str) -> Vec<Vec<&str>> {
    let rows = text.lines().filter(|line| line.starts_with("| "));
    rows.map(|row| row.trim_matches('|').split(" | ").map(str::trim).collect()).collect()
}

/// What stands between backticks.
fn quoted(text: &str) -> Vec<&str> {
    text.split('`').skip(1).step_by(2).collect()
}

#[test]
fn every_link_leads_somewhere() {
    let broken = links::broken();
    assert!(broken.is_empty(), "{broken:#?}");
}

#[test]
fn pages_stay_short() {
    let lines = |path: &str| read(path).lines().count();
    assert!(lines("docs/ARCHITECTURE.md") <= 250);
    for (path, text) in files("docs/decisions", ".md") {
        assert!(text.lines().count() <= 60, "{}", path.display());
    }
}

#[test]
fn every_invariant_names_tests_that_exist() {
    let text = read("docs/ARCHITECTURE.md");
    let section = text.split("\n## Invariants\n").nth(1).unwrap().split("\n## ").next().unwrap();
    let sources = files("", ".rs");
    let mut numbers = 0;
    for row in rows(section).into_iter().filter(|row| row[0].parse::<u32>().is_ok()) {
        numbers += 1;
        let tests: Vec<_> = quoted(row[2]).into_iter().filter(|name| name.contains("::")).collect();
        for test in &tests {
            let (module, name) = test.rsplit_once("::").unwrap();
            let file = module.replace("::", "/");
            let [outside, inside] = [format!("tests/integration/{file}.rs"), format!("proxy/src/{file}.rs")];
            let found = sources.iter().any(|(path, text)| {
                let path = path.to_str().unwrap();
                (path == outside || path == inside) && text.contains(&format!("fn {name}()"))
            });
            assert!(found, "invariant {} names {test}, which is nowhere", row[0]);
        }
        assert!(!tests.is_empty(), "invariant {} names no test", row[0]);
    }
    assert_eq!(numbers, 15);
}

#[test]
fn every_dependency_of_every_crate_is_named_with_its_place() {
    let text = read("docs/dependencies.md");
    let table: Vec<_> = rows(&text).into_iter().filter(|row| row[0].starts_with('`')).collect();
    let manifests = [
        ("proxy", "proxy/Cargo.toml"),
        ("sdk", "sdk/rust/Cargo.toml"),
        ("macros", "sdk/macros/Cargo.toml"),
        ("plugins", "plugins/auth-callout/Cargo.toml"),
        ("plugins", "plugins/body-metrics/Cargo.toml"),
        ("plugins", "plugins/correlation-id/Cargo.toml"),
        ("plugins", "plugins/request-classifier/Cargo.toml"),
        ("tests", "tests/Cargo.toml"),
    ];
    let mut used = BTreeSet::new();
    for (place, path) in manifests {
        let manifest = read(path);
        let mut inside = false;
        for line in manifest.lines() {
            if line.starts_with('[') {
                inside = matches!(line, "[dependencies]" | "[dev-dependencies]" | "[build-dependencies]");
            } else if let Some((name, _)) = line.split_once(['.', ' ']).filter(|_| inside && !line.starts_with('#')) {
                used.insert(name.to_owned());
                let row = table.iter().find(|row| quoted(row[0])[0] == name);
                let row = row.unwrap_or_else(|| panic!("{name} of {path} is not in docs/dependencies.md"));
                assert!(row[1].contains(place), "docs/dependencies.md does not say that {name} is in {place}");
            }
        }
    }
    let gone: Vec<_> =
        table.iter().map(|row| quoted(row[0])[0]).filter(|name| *name != "tidegate" && !used.contains(*name)).collect();
    assert!(gone.is_empty(), "docs/dependencies.md names what nobody uses: {gone:?}");
}

#[test]
fn every_metric_in_config_exists() {
    let reference = metrics_of_reference(&read("docs/metrics.md"));
    let used = metrics_of_config();
    assert!(used.len() > 20, "{used:?}");
    let unknown: Vec<_> = used.iter().filter(|(_, name)| !reference.contains(name)).collect();
    assert!(unknown.is_empty(), "{unknown:#?}");
}

#[test]
fn queries_are_read_as_prometheus_reads_them() {
    let names = |query| names_in(query).into_iter().collect::<Vec<_>>();
    assert_eq!(
        names(r#"sum by (le, job) (rate(a_bucket{x=~"b.."}[5m])) / on (job) group_left c_total > bool 0.05"#),
        ["a_bucket", "c_total"]
    );
    assert_eq!(names("label_values(tidegate_build_info, instance)"), ["tidegate_build_info"]);
    assert_eq!(names(r#"up{job="x"} == 0 and -1e3 < time() offset 5m"#), ["up"]);
}

#[test]
fn every_alert_leads_to_its_runbook() {
    let alerts = read("config/prometheus/alerts.yml");
    let anchors = links::anchors(&read("docs/operations.md"));
    let mut count = 0;
    for alert in alerts.split("- alert: ").skip(1) {
        let name = alert.lines().next().unwrap().trim();
        let anchor = name.to_lowercase();
        assert!(alert.contains(&format!("docs/operations.md#{anchor}")), "{name} names no runbook");
        assert!(anchors.contains(&anchor), "docs/operations.md has no section for {name}");
        count += 1;
    }
    assert!(count >= 8);
}

/// The reasons of the reference, between backticks.
fn reasons(metrics: &str) -> Vec<&str> {
    let section = metrics.split("\n## Error reasons\n").nth(1).unwrap();
    let reasons: Vec<_> = rows(section).into_iter().filter(|row| row[0].starts_with('`')).map(|row| row[0]).collect();
    assert!(reasons.len() > 20);
    reasons
}

#[test]
fn every_reason_is_explained_to_operators() {
    let operations = read("docs/operations.md");
    let metrics = read("docs/metrics.md");
    let missing: Vec<_> = reasons(&metrics).into_iter().filter(|reason| !operations.contains(*reason)).collect();
    assert!(missing.is_empty(), "{missing:?}");
}

#[test]
fn the_test_of_the_recording_rules_has_every_reason() {
    let rules = read("config/prometheus/compat.test.yml");
    let metrics = read("docs/metrics.md");
    let label = |reason: &str| format!("reason=\"{}\"", reason.trim_matches('`'));
    let missing: Vec<_> = reasons(&metrics).into_iter().filter(|reason| !rules.contains(&label(reason))).collect();
    assert!(missing.is_empty(), "{missing:?}");
}
