//! How the suite reaches an adapter: one that takes a script and gives a plugin which does what it says.
//! It knows no adapter's inside.

use super::script::Script;

/// A way to run plugins in the proxy. All cases run against each one.
pub trait Adapter: Sync {
    /// How it is called in messages.
    fn name(&self) -> &'static str;

    /// A plugin that does what the script says; `own` stands for `{self}` in it.
    fn puppet(&self, script: &Script, own: &str) -> Vec<u8>;
}

/// Every adapter that the proxy has.
pub const ADAPTERS: [&dyn Adapter; 1] = [&super::native::Native];
