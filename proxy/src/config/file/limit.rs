//! `limits`: how much traffic is let through.
//! It counts nothing.

use std::num::{NonZeroU32, NonZeroUsize};

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::config::syntax::{LimitKey, Rate, Text};

/// A policy on how much traffic is let through.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct LimitFile {
    /// What it counts by. Requests without the header of `request_header.<name>` share one count; those for which
    /// no plugin of the route has set the key `<name>` of `plugin.<name>` are not counted.
    #[schemars(example = &"client.address", example = &"request_header.x-api-key", example = &"plugin.tenant")]
    pub key: Text<LimitKey>,
    /// How many requests are let through in the long run, for each value of the key.
    #[schemars(example = &"100/s")]
    pub rate: Text<Rate>,
    /// How many may come at once after a pause; the number of `rate` where it is not given.
    #[schemars(range(min = 1, max = 1_000_000_000), example = 200)]
    pub burst: Option<NonZeroU32>,
    /// For `client.address`: IPv6 addresses that agree in so many bits count together, since one client has many.
    #[schemars(range(min = 1, max = 128), extend("default" = 64), example = 64)]
    pub ipv6_prefix: Option<u8>,
    /// How many values of the key are remembered; the longest unused is forgotten first.
    #[serde(default = "max_keys")]
    #[schemars(range(min = 1, max = 10_000_000), example = 100_000)]
    pub max_keys: NonZeroUsize,
}

fn max_keys() -> NonZeroUsize {
    const { NonZeroUsize::new(100_000).unwrap() }
}
