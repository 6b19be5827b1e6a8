//! The reference of the configuration as Markdown, made from the JSON schema.
//! It holds no key of its own.

use std::fmt::Write as _;

use serde_json::Value as Json;

use super::schema;

const HEAD: &str = "\
# Configuration

<!-- Made from the file types by `UPDATE_DOCS=1 cargo test -p tidegate reference`. Do not edit. -->

Tidegate reads one YAML file, `tidegate.yaml` where nothing else is said. `tidegate check` says everything that is wrong
with one, with line and column. An unknown key is an error, and so is a key without a value.

- **Variables**: `${NAME}` in a value is replaced from the environment; `${NAME:-default}` says what holds where it is not
  set or empty; `$$` is a dollar sign. A variable that is not set and has no default is an error.
- **Durations** have a unit: `100ms`, `1s`, `10m`, `1h`. **Sizes** too: `64KB` is 64 000 bytes, `32KiB` is 32 768; also `B`,
  `MB`, `MiB`, `GB`, `GiB`. **Rates** have a period: `100/s`, `10/m`, `5/h`.
- **Paths of files** are relative to the directory of the configuration.
- **Names** of listeners, routes, upstreams, limits and plugins have 1 to 64 letters, digits, `-`, `_` and `.`.
- Anchors and aliases (`&a`, `*a`) stand for whole values; merge keys (`<<`) and tags are not taken.

The JSON schema is in [configuration.schema.json](configuration.schema.json), and `tidegate schema > tidegate.schema.json`
writes it. With it, this line at the top of a configuration gives completion and checks in editors:

```yaml
# yaml-language-server: $schema=tidegate.schema.json
```

";

/// The whole page.
pub fn page() -> String {
    let schema = schema::schema();
    let mut page = HEAD.to_owned();
    for (key, schema) in properties(schema) {
        section(&mut page, key, schema, is_required(schema::schema(), key));
    }
    page.truncate(page.trim_end().len());
    page.push('\n');
    page
}

/// One key of the top level: a heading, what it is, and a table of all below it.
fn section(page: &mut String, key: &str, schema: &Json, required: bool) {
    let _ = writeln!(page, "## `{key}`\n\n{}\n", text(schema, "description"));
    let mut rows = Vec::new();
    let prefix = match kind(schema) {
        Kind::Object => String::new(),
        Kind::List(_) => "[]".to_owned(),
        Kind::Map(_) => ".<name>".to_owned(),
        Kind::Value => {
            rows.push(row(key, schema, required));
            String::new()
        }
    };
    if let Kind::List(below) | Kind::Map(below) = kind(schema) {
        walk(&mut rows, &format!("{key}{prefix}"), below);
    } else {
        walk_choices(&mut rows, key, schema);
    }
    page.push_str("| Key | Type | Default | What |\n| --- | --- | --- | --- |\n");
    for row in rows {
        page.push_str(&row);
    }
    page.push('\n');
}

fn walk(rows: &mut Vec<String>, path: &str, schema: &Json) {
    for (key, below) in properties(schema) {
        let path = format!("{path}.{key}");
        rows.push(row(&path, below, is_required(schema, key)));
        match kind(below) {
            Kind::Object => walk(rows, &path, below),
            Kind::List(item) => walk_choices(rows, &format!("{path}[]"), item),
            Kind::Map(value) => walk_choices(rows, &format!("{path}.<name>"), value),
            Kind::Value => {}
        }
    }
}

fn walk_choices(rows: &mut Vec<String>, path: &str, schema: &Json) {
    match schema.get("anyOf").and_then(Json::as_array) {
        Some(choices) => choices.iter().for_each(|choice| walk(rows, path, choice)),
        None => walk(rows, path, schema),
    }
}

fn row(path: &str, schema: &Json, required: bool) -> String {
    let mut what = text(schema, "description").replace('\n', " ");
    let words = match kind(schema) {
        Kind::List(item) => words(item),
        Kind::Object | Kind::Map(_) | Kind::Value => words(schema),
    };
    for (word, meaning) in words {
        let _ = write!(what, " `{word}`{}", if meaning.is_empty() { ";".to_owned() } else { format!(": {meaning}") });
    }
    let examples: Vec<String> = array(schema, "examples").map(|example| format!("`{}`", flow(example))).collect();
    if !examples.is_empty() {
        let _ = write!(what, " Example: {}.", examples.join(", "));
    }
    let default = match schema.get("default") {
        _ if required => "**required**".to_owned(),
        Some(Json::Object(keys)) if !keys.is_empty() => String::new(),
        Some(default) => format!("`{}`", flow(default)),
        None => match kind(schema) {
            Kind::Object => String::new(),
            Kind::List(_) | Kind::Map(_) | Kind::Value => "none".to_owned(),
        },
    };
    let path = path.replace('|', "\\|");
    format!("| `{path}` | {} | {default} | {} |\n", type_of(schema), what.replace('|', "\\|"))
}

/// What a value may be, with its range.
fn type_of(schema: &Json) -> String {
    if let Some(choices) = schema.get("anyOf").and_then(Json::as_array) {
        return choices.iter().map(type_of).collect::<Vec<_>>().join(" or ");
    }
    let allowed = text(schema, "x-allowed");
    if !allowed.is_empty() {
        let range = match (text(schema, "x-min"), text(schema, "x-max")) {
            ("", _) | (_, "") => String::new(),
            (least, most) => format!("; `{least}` to `{most}`"),
        };
        return format!("{allowed}{range}").replace('|', "\\|");
    }
    let name = match (schema.get("type").and_then(Json::as_str), kind(schema)) {
        (_, Kind::List(item)) => format!("list of: {}", type_of(item)),
        (_, Kind::Map(value)) => format!("map from names to: {}", type_of(value)),
        (_, Kind::Object) => "map".to_owned(),
        (Some("boolean"), Kind::Value) => "`true` or `false`".to_owned(),
        (Some("integer"), Kind::Value) => "whole number".to_owned(),
        (Some("string"), Kind::Value) => "text".to_owned(),
        (Some(other), Kind::Value) => other.to_owned(),
        (None, Kind::Value) if words(schema).is_empty() => "anything".to_owned(),
        (None, Kind::Value) => {
            words(schema).iter().map(|(word, _)| format!("`{word}`")).collect::<Vec<_>>().join(" or ")
        }
    };
    match (schema.get("minimum"), schema.get("maximum")) {
        (Some(least), Some(most)) => format!("{name}, {least} to {most}"),
        _ => name,
    }
}

enum Kind<'a> {
    /// Fixed keys.
    Object,
    List(&'a Json),
    /// Keys that the user chooses.
    Map(&'a Json),
    Value,
}

fn kind(schema: &Json) -> Kind<'_> {
    match schema.get("type").and_then(Json::as_str) {
        Some("array") => Kind::List(schema.get("items").unwrap_or(&Json::Null)),
        Some("object") => match schema.get("additionalProperties") {
            Some(values) if values.is_object() => Kind::Map(values),
            _ => Kind::Object,
        },
        _ => Kind::Value,
    }
}

/// The words that are allowed, each with what it means.
fn words(schema: &Json) -> Vec<(&str, &str)> {
    let plain = array(schema, "enum").filter_map(Json::as_str).map(|word| (word, ""));
    let told =
        array(schema, "oneOf").filter_map(|choice| Some((choice.get("const")?.as_str()?, text(choice, "description"))));
    plain.chain(told).collect()
}

fn properties(schema: &Json) -> impl Iterator<Item = (&String, &Json)> {
    schema.get("properties").and_then(Json::as_object).into_iter().flatten()
}

fn is_required(schema: &Json, key: &str) -> bool {
    array(schema, "required").any(|required| required == key)
}

fn array<'a>(schema: &'a Json, key: &str) -> impl Iterator<Item = &'a Json> {
    schema.get(key).and_then(Json::as_array).into_iter().flatten()
}

fn text<'a>(schema: &'a Json, key: &str) -> &'a str {
    schema.get(key).and_then(Json::as_str).unwrap_or_default()
}

/// A value as it would be written in YAML.
fn flow(value: &Json) -> String {
    match value {
        Json::String(text) if text.contains(['*', '{', '[']) => format!("\"{text}\""),
        Json::String(text) => text.clone(),
        Json::Array(items) => format!("[{}]", items.iter().map(flow).collect::<Vec<_>>().join(", ")),
        Json::Object(keys) if keys.is_empty() => "{}".to_owned(),
        Json::Object(keys) => {
            let pairs: Vec<String> = keys.iter().map(|(key, value)| format!("{key}: {}", flow(value))).collect();
            format!("{{ {} }}", pairs.join(", "))
        }
        Json::Number(number) if number.as_f64() == Some(1.0) => "1".to_owned(),
        Json::Null | Json::Bool(_) | Json::Number(_) => value.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::page;
    use crate::config::schema;

    /// The file must be what the code says; `UPDATE_DOCS=1` makes it so.
    fn in_step(name: &str, expected: &str) {
        let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs").join(name);
        if std::env::var_os("UPDATE_DOCS").is_some() {
            std::fs::create_dir_all(path.parent().unwrap()).unwrap();
            std::fs::write(&path, expected).unwrap();
        }
        let found = std::fs::read_to_string(&path).unwrap_or_default();
        assert!(found == expected, "docs/{name} is out of step: run `UPDATE_DOCS=1 cargo test -p tidegate reference`");
    }

    #[test]
    fn the_reference_is_in_step() {
        in_step("configuration.md", &page());
    }

    #[test]
    fn the_schema_is_in_step() {
        in_step("configuration.schema.json", &schema::text());
    }

    #[test]
    fn every_key_is_described() {
        for line in page().lines().filter(|line| line.starts_with("| `")) {
            let cells: Vec<&str> = line.split(" | ").collect();
            assert!(cells.len() >= 4 && cells[3].trim_end_matches([' ', '|']).len() > 10, "{line}");
        }
    }
}
