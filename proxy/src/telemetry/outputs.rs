//! Where the records of one version of the configuration go.
//! It writes and sends nothing.

use std::sync::{Arc, Mutex, PoisonError};

use crate::telemetry::access_log::AccessLog;
use crate::telemetry::sampling::Sampler;
use crate::telemetry::spans::SpanQueue;

/// The outputs of one version. Immutable; read by every worker.
#[derive(Debug)]
pub(super) struct Outputs {
    pub sampler: Sampler,
    pub log: Option<AccessLog>,
    /// `None` where spans go nowhere.
    pub spans: Option<Arc<SpanQueue>>,
}

/// The outputs of the version that is current; read when a view is built, never for a request.
#[derive(Clone, Debug)]
pub(super) struct Current(Arc<Mutex<Arc<Outputs>>>);

// === impl Current ===

impl Current {
    pub(super) fn new(outputs: Outputs) -> Self {
        Self(Arc::new(Mutex::new(Arc::new(outputs))))
    }

    pub(super) fn get(&self) -> Arc<Outputs> {
        Arc::clone(&self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }

    pub(super) fn set(&self, outputs: Outputs) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = Arc::new(outputs);
    }
}
