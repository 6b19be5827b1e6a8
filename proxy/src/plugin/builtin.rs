//! The plugins that are shipped in the binary, compiled from `plugins/` by the build.
//! It does not know what they do.

/// Name and module of each shipped plugin, by name.
static MODULES: &[(&str, &[u8])] = include!(concat!(env!("OUT_DIR"), "/builtin_plugins.rs"));

/// The module of a shipped plugin, for `builtin: <name>`.
pub fn lookup(name: &str) -> Option<&'static [u8]> {
    MODULES.iter().find(|(known, _)| *known == name).map(|&(_, module)| module)
}

/// The names of all shipped plugins, in alphabetical order.
pub fn names() -> impl Iterator<Item = &'static str> {
    MODULES.iter().map(|&(name, _)| name)
}

#[cfg(test)]
mod tests;
