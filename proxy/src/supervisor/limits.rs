//! The metrics of limits that nobody counts as they go: how many keys they remember, and have forgotten.
//! It decides nothing.

use std::time::Duration;

use crate::snapshot::Snapshot;

/// How old these numbers may be.
const ROUND: Duration = Duration::from_secs(1);

pub(super) async fn round() {
    tokio::time::sleep(ROUND).await;
}

pub(super) fn publish(snapshot: &Snapshot) {
    let shared = snapshot.foundation.registry.shared();
    let admission = &snapshot.foundation.catalogue.admission;
    for (limit, limiter) in snapshot.config.limits.iter().zip(&snapshot.limiters) {
        let keys = shared.gauge(&admission.limit_keys, &[&limit.name]);
        limiter.report(&keys, &shared.counter(&admission.limit_evictions, &[&limit.name]));
    }
}
