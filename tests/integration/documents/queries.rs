//! Metric names: those that docs/metrics.md has, and those that the rules and dashboards of config/ ask for.
//! It evaluates no query.

use std::collections::BTreeSet;

use serde_json::Value;

use crate::house::files;

/// Every name that a scrape can show, with the suffixes of histograms.
pub(super) fn metrics_of_reference(text: &str) -> BTreeSet<String> {
    // What Prometheus itself makes for each target.
    let mut names: BTreeSet<String> = ["up".to_owned(), "scrape_duration_seconds".to_owned()].into();
    // `http_server_active_requests`, gauge, unit `{request}`.
    for line in text.lines().filter(|line| line.starts_with('`')) {
        let Some((name, rest)) = line[1..].split_once("`, ") else { continue };
        if rest.starts_with("histogram") {
            names.extend(["_bucket", "_sum", "_count"].map(|suffix| format!("{name}{suffix}")));
        } else {
            names.insert(name.to_owned());
        }
    }
    names
}

/// File and name of every metric that is asked for in config/, but for those that rules record.
pub(super) fn metrics_of_config() -> BTreeSet<(String, String)> {
    let mut recorded = BTreeSet::new();
    let mut found = BTreeSet::new();
    for (path, text) in files("config/prometheus", ".yml") {
        recorded.extend(text.lines().filter_map(|line| line.trim().strip_prefix("- record: ")).map(str::to_owned));
        let file = path.display().to_string();
        for expression in expressions(&text) {
            found.extend(names_in(&expression).into_iter().map(|name| (file.clone(), name)));
        }
    }
    for (path, text) in files("config/grafana", ".json") {
        let dashboard: Value = serde_json::from_str(&text).unwrap();
        let mut queries = Vec::new();
        collect(&dashboard, &mut queries);
        let file = path.display().to_string();
        found.extend(queries.iter().flat_map(|query| names_in(query)).map(|name| (file.clone(), name)));
    }
    found.retain(|(_, name)| !recorded.contains(name));
    found
}

/// The expressions of a file with rules, on one line or in a block.
fn expressions(text: &str) -> Vec<String> {
    let mut found = Vec::new();
    let mut lines = text.lines().peekable();
    while let Some(line) = lines.next() {
        let Some(first) = line.trim_start().strip_prefix("expr: ") else { continue };
        let indent = line.len() - line.trim_start().len();
        let mut expression = first.trim_matches(['|', '>', '-', '\'']).to_owned();
        while let Some(next) = lines.peek().filter(|next| next.len() - next.trim_start().len() > indent) {
            expression.push(' ');
            expression.push_str(next.trim());
            lines.next();
        }
        found.push(expression);
    }
    found
}

fn collect(value: &Value, queries: &mut Vec<String>) {
    match value {
        Value::Object(object) => {
            for (key, value) in object {
                match value {
                    Value::String(text) if matches!(key.as_str(), "expr" | "definition") => queries.push(text.clone()),
                    other => collect(other, queries),
                }
            }
        }
        Value::Array(values) => values.iter().for_each(|value| collect(value, queries)),
        _ => {}
    }
}

/// The metrics of an expression: names that are no function, keyword, label or number.
pub(super) fn names_in(expression: &str) -> BTreeSet<String> {
    const WORDS: [&str; 12] = [
        "by",
        "without",
        "on",
        "ignoring",
        "group_left",
        "group_right",
        "and",
        "or",
        "unless",
        "bool",
        "offset",
        "inf",
    ];
    const LISTS: [&str; 6] = ["by", "without", "on", "ignoring", "group_left", "group_right"];
    let mut names = BTreeSet::new();
    let mut rest = expression;
    while let Some(first) = rest.chars().next() {
        let end = |closing: char| rest[1..].find(closing).map_or(rest.len(), |at| at + 2);
        if first == '"' {
            rest = &rest[end('"')..];
        } else if first == '{' {
            rest = &rest[end('}')..];
        } else if first == '[' {
            rest = &rest[end(']')..];
        } else if first.is_ascii_alphabetic() || first == '_' {
            let length = rest.find(|c: char| !(c.is_ascii_alphanumeric() || "_:".contains(c))).unwrap_or(rest.len());
            let (word, after) = rest.split_at(length);
            rest = after;
            let list = after.trim_start().starts_with('(');
            // `sum by (le) (…)` is a call, too.
            let call = list || ["by ", "by(", "without "].iter().any(|word| after.trim_start().starts_with(word));
            if LISTS.contains(&word) && list {
                rest = &after[after.find(')').map_or(after.len(), |at| at + 1)..];
            } else if word == "label_values" {
                // Its second argument is a label.
                let inside = after.trim_start().trim_start_matches('(');
                let metric = inside.split([',', '{', ')']).next().unwrap_or_default().trim();
                names.insert(metric.to_owned());
                rest = &after[after.find(')').map_or(after.len(), |at| at + 1)..];
            } else if !call && !WORDS.contains(&word) {
                names.insert(word.to_owned());
            }
        } else if first.is_ascii_digit() || first == '$' {
            let length = rest[1..].find(|c: char| !(c.is_ascii_alphanumeric() || "_.".contains(c)));
            rest = &rest[length.map_or(rest.len(), |at| at + 1)..];
        } else {
            rest = &rest[first.len_utf8()..];
        }
    }
    names
}
