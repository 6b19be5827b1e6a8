//! Which traces an operator finds.

use std::time::Duration;

use super::*;

fn sampler(ratio: f64, parent_based: bool) -> Sampler {
    Sampler::new(&Traces {
        ratio,
        parent_based,
        always_errors: true,
        always_slower_than: Some(Duration::from_secs(1)),
        queue: 1,
        interval: Duration::from_secs(1),
    })
}

#[test]
fn the_ratio_keeps_its_share_and_always_the_same_traces() {
    let ids: Vec<u128> = (1..10_000_u128).map(|n| n.wrapping_mul(0x9e37_79b9_7f4a_7c15_f39c_c060_5ced_c835)).collect();
    for ratio in [0.0, 0.1, 0.5, 1.0] {
        let first = sampler(ratio, true);
        let kept = ids.iter().filter(|id| first.head(**id, None)).count() as f64 / ids.len() as f64;
        assert!((kept - ratio).abs() < 0.02, "{ratio}: {kept}");
        // Who keeps less keeps none that another would not.
        assert!(ids.iter().all(|id| !sampler(ratio / 2.0, true).head(*id, None) || first.head(*id, None)));
    }
}

#[test]
fn the_caller_decides_where_it_may() {
    assert!(sampler(0.0, true).head(1, Some(true)));
    assert!(!sampler(1.0, true).head(1, Some(false)));
    assert!(!sampler(0.0, false).head(1, Some(true)));
    assert!(sampler(1.0, false).head(1, Some(false)));
}

#[test]
fn errors_and_slow_exchanges_are_kept() {
    let sampler = sampler(0.0, true);
    assert!(sampler.outcome(true, Duration::ZERO));
    assert!(sampler.outcome(false, Duration::from_millis(1001)));
    assert!(!sampler.outcome(false, Duration::from_secs(1)));
}
