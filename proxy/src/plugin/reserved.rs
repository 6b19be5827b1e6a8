//! The keys of a log line that belong to the proxy.
//! It does not write the line.

pub(super) use crate::telemetry::access_log::is_reserved_field;
