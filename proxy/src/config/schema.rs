//! The JSON schema of the configuration, made from the file types: for editors, for the reference, and for our own validation.
//! It holds no key of its own.

use std::sync::LazyLock;

use schemars::Schema;
use schemars::generate::SchemaSettings;
use schemars::transform::{Transform, transform_subschemas};
use serde_json::Value;

use super::file::File;

/// The schema, draft 2020-12, without references.
pub fn schema() -> &'static Value {
    static SCHEMA: LazyLock<Value> = LazyLock::new(|| {
        let settings = SchemaSettings::draft2020_12().with(|settings| settings.inline_subschemas = true);
        let mut schema = settings.into_generator().into_root_schema_for::<File>();
        WithoutNull.transform(&mut schema);
        schema.insert("title".to_owned(), "Tidegate".into());
        schema.to_value()
    });
    &SCHEMA
}

/// The schema as text, with a line end.
pub fn text() -> String {
    format!("{:#}\n", schema())
}

/// A key that may be left out is not a key that may be null: a value that is missing by a slip of the indentation is an error.
struct WithoutNull;

impl Transform for WithoutNull {
    fn transform(&mut self, schema: &mut Schema) {
        let Some(object) = schema.as_object_mut() else { return };
        if let Some(Value::Array(types)) = object.get_mut("type") {
            types.retain(|name| name != "null");
            if let [only] = types.as_slice() {
                let only = only.clone();
                object.insert("type".to_owned(), only);
            }
        }
        if let Some(Value::Array(choices)) = object.get_mut("anyOf") {
            choices.retain(|choice| choice.get("type").is_none_or(|name| name != "null"));
            if let [Value::Object(only)] = choices.as_slice() {
                let only = only.clone();
                object.shift_remove("anyOf");
                for (key, value) in only {
                    object.entry(key).or_insert(value);
                }
            }
        }
        if object.get("default").is_some_and(Value::is_null) {
            object.shift_remove("default");
        }
        transform_subschemas(self, schema);
    }
}

#[cfg(test)]
mod tests {
    use super::text;

    #[test]
    fn it_is_closed_and_knows_no_null() {
        let text = text();
        assert!(!text.contains("\"null\""), "{text}");
        assert!(!text.contains("$ref"), "{text}");
        assert!(text.contains("\"additionalProperties\": false"));
    }
}
