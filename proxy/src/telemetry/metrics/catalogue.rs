//! Every metric of the proxy's own, one documented item each: the doc is the help text, the parameters are the labels.
//! It counts nothing; each room asks a shard for the series of its part.

mod admission;
mod http;
mod plugin;
mod runtime;

pub use admission::Admission;
pub use http::Http;
pub use plugin::Plugin;
pub use runtime::Runtime;

use super::{Conflict, Definition, Family, Registry};

/// The families of the proxy's own metrics. Cloning copies handles, not metrics.
#[derive(Clone, Debug)]
pub struct Catalogue {
    /// Requests, WebSockets and errors.
    pub http: Http,
    /// Connections, limits and breakers.
    pub admission: Admission,
    /// What plugins do and use.
    pub plugin: Plugin,
    /// The process, its workers, its configuration and its own telemetry.
    pub runtime: Runtime,
}

/// A metric as it stands in the catalogue, for the reference.
#[derive(Clone, Copy, Debug)]
pub(super) struct Entry {
    /// The doc comment, line by line.
    pub help: &'static [&'static str],
    pub name: &'static str,
    pub unit: &'static str,
    pub kind: super::Kind,
    /// Names, and what values they have.
    pub labels: &'static [(&'static str, &'static str)],
    pub buckets: &'static [f64],
}

// === impl Catalogue ===

impl Catalogue {
    /// Defines every metric in the registry; doing it again gives the same families.
    ///
    /// # Errors
    /// A name is taken by something else, which only a plugin that was defined before could have done.
    pub fn new(registry: &Registry) -> Result<Self, Conflict> {
        Ok(Self {
            http: Http::new(registry)?,
            admission: Admission::new(registry)?,
            plugin: Plugin::new(registry)?,
            runtime: Runtime::new(registry)?,
        })
    }

    /// The entries in the order of the reference.
    #[cfg(test)]
    pub(super) const ENTRIES: [(&str, &'static [Entry]); 4] = [
        ("Requests, WebSockets and errors", Http::ENTRIES),
        ("Connections, limits and breakers", Admission::ENTRIES),
        ("Plugins", Plugin::ENTRIES),
        ("The process and its telemetry", Runtime::ENTRIES),
    ];
}

// === impl Entry ===

impl Entry {
    pub(super) fn help(&self) -> String {
        self.help.iter().map(|line| line.trim()).collect::<Vec<_>>().join(" ")
    }

    pub(super) fn definition(&self) -> Definition {
        Definition {
            name: self.name.to_owned(),
            unit: self.unit.to_owned(),
            help: self.help(),
            kind: self.kind,
            labels: self.labels.iter().map(|&(name, _)| name.to_owned()).collect(),
            buckets: self.buckets.to_vec(),
        }
    }

    fn define(&self, registry: &Registry) -> Result<Family, Conflict> {
        registry.define(self.definition())
    }
}

/// Declares a part of the catalogue: `field: Kind name, unit [buckets], { label: values, ... }`.
macro_rules! metrics {
    ($(#[$meta:meta])* $part:ident {
        $($(#[doc = $help:literal])+ $field:ident: $kind:ident $name:literal, $unit:literal $([$buckets:expr])?,
            { $($label:literal: $values:expr),* $(,)? };)*
    }) => {
        $(#[$meta])*
        #[derive(Clone, Debug)]
        pub struct $part { $($(#[doc = $help])+ pub $field: $crate::telemetry::metrics::Family,)* }

        impl $part {
            pub(super) const ENTRIES: &'static [super::Entry; [$($name),*].len()] = &[$(super::Entry {
                help: &[$($help),+],
                name: $name,
                unit: $unit,
                kind: $crate::telemetry::metrics::Kind::$kind,
                labels: &[$(($label, $values)),*],
                buckets: metrics!(@buckets $($buckets)?),
            },)*];

            pub(super) fn new(
                registry: &$crate::telemetry::metrics::Registry,
            ) -> Result<Self, $crate::telemetry::metrics::Conflict> {
                let [$($field),*] = Self::ENTRIES;
                Ok(Self { $($field: $field.define(registry)?,)* })
            }
        }
    };
    (@buckets) => { &[] };
    (@buckets $buckets:expr) => { $buckets };
}
use metrics;
