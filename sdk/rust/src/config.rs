//! The plugin's configuration, from the host's JSON to the author's type.
//! It knows nothing of what stands in it.

use serde::de::DeserializeOwned;

use crate::{Error, Result};

/// Reads a configuration; without one it is `{}`. An error names the key.
///
/// # Errors
/// When the JSON does not fit the type, with the path of the key: `config.rules[0].value: …`.
pub fn read<C: DeserializeOwned>(json: &[u8]) -> Result<C> {
    let json = if json.is_empty() || json == b"null" { b"{}" } else { json };
    let mut deserializer = serde_json::Deserializer::from_slice(json);
    serde_path_to_error::deserialize(&mut deserializer).map_err(|error| {
        let path = error.path().to_string();
        let place = if path == "." { "config".to_owned() } else { format!("config.{path}") };
        let message = error.inner().to_string();
        // Where it stands in the JSON says nothing to someone who wrote YAML.
        let message = message.rsplit_once(" at line ").map_or(&*message, |(message, _)| message);
        Error::new(format_args!("{place}: {message}"))
    })
}
