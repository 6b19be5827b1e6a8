//! What a user would notice of limits: who is let through, when, and how much is remembered.
//! It knows nothing of how keys are stored.

use std::net::{IpAddr, Ipv6Addr};
use std::num::{NonZeroU32, NonZeroUsize};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use bytes::Bytes;
use governor::Quota;
use governor::clock::FakeRelativeClock;
use http::{HeaderMap, HeaderName, HeaderValue};

use super::config::{Key, Limit};
use super::{Decision, Limiter, Subject};

const BY_ADDRESS: Key = Key::ClientAddress { ipv6_prefix: 64 };

fn limit(key: Key, burst: u32, max_keys: usize) -> Limit {
    Limit {
        name: "test".into(),
        key,
        quota: Quota::per_second(NonZeroU32::new(burst).unwrap()),
        max_keys: NonZeroUsize::new(max_keys).unwrap(),
    }
}

fn from<C: governor::clock::Clock>(limiter: &Limiter<C>, client: &str) -> Decision {
    let headers = HeaderMap::new();
    limiter.check(&Subject { route: "app", client: client.parse().unwrap(), headers: &headers, plugin_keys: &[] })
}

fn passes<C: governor::clock::Clock>(limiter: &Limiter<C>, client: &str) -> bool {
    from(limiter, client) == Decision::Allowed
}

#[test]
fn a_burst_passes_then_the_rate_and_the_wait_is_told() {
    let clock = FakeRelativeClock::default();
    let limiter = Limiter::with_clock(&limit(Key::Global, 4, 1), clock.clone());
    for _ in 0..4 {
        assert!(passes(&limiter, "10.0.0.1"));
    }
    assert_eq!(from(&limiter, "10.0.0.2"), Decision::Limited { retry_after: Duration::from_millis(250) });
    clock.advance(Duration::from_millis(250));
    assert!(passes(&limiter, "10.0.0.2"));
    assert!(!passes(&limiter, "10.0.0.2"));
}

#[test]
fn addresses_count_by_themselves_and_ipv6_by_its_network() {
    let limiter = Limiter::with_clock(&limit(BY_ADDRESS, 1, 100), FakeRelativeClock::default());
    for (client, passed) in [
        ("10.0.0.1", true),
        ("10.0.0.2", true),
        ("10.0.0.1", false),
        ("::ffff:10.0.0.1", false),
        ("2001:db8:0:1::1", true),
        ("2001:db8:0:1:ffff::2", false),
        ("2001:db8:0:2::1", true),
    ] {
        assert_eq!(passes(&limiter, client), passed, "{client}");
    }
    assert_eq!(limiter.keys(), 4);
}

#[test]
fn an_ipv6_prefix_may_be_all_or_nothing() {
    for (ipv6_prefix, passed) in [(0, false), (128, true)] {
        let config = limit(Key::ClientAddress { ipv6_prefix }, 1, 100);
        let limiter = Limiter::with_clock(&config, FakeRelativeClock::default());
        assert!(passes(&limiter, "2001:db8::1"));
        assert_eq!(passes(&limiter, "2001:db8::2"), passed, "/{ipv6_prefix}");
    }
}

#[test]
fn header_values_and_routes_count_by_themselves() {
    let name = HeaderName::from_static("x-tenant");
    let limiter = Limiter::with_clock(&limit(Key::Header(name.clone()), 1, 100), FakeRelativeClock::default());
    let passes = |value: Option<&'static str>| {
        let headers: HeaderMap =
            value.map(|value| (name.clone(), HeaderValue::from_static(value))).into_iter().collect();
        let client = IpAddr::V6(Ipv6Addr::LOCALHOST);
        limiter.check(&Subject { route: "app", client, headers: &headers, plugin_keys: &[] }) == Decision::Allowed
    };
    assert!(passes(Some("acme")) && passes(Some("globex")) && passes(None));
    assert!(!passes(Some("acme")) && !passes(Some("globex")) && !passes(None));

    let limiter = Limiter::with_clock(&limit(Key::Route, 1, 100), FakeRelativeClock::default());
    let headers = HeaderMap::new();
    let passes = |route| {
        let client = IpAddr::V6(Ipv6Addr::LOCALHOST);
        limiter.check(&Subject { route, client, headers: &headers, plugin_keys: &[] }) == Decision::Allowed
    };
    assert!(passes("a") && passes("b") && !passes("a") && !passes("b"));
}

#[test]
fn workers_share_one_count() {
    let limiter = Arc::new(Limiter::with_clock(&limit(BY_ADDRESS, 1000, 100), FakeRelativeClock::default()));
    let passed = AtomicUsize::new(0);
    std::thread::scope(|scope| {
        for _ in 0..4 {
            scope.spawn(|| {
                for _ in 0..500 {
                    passed.fetch_add(usize::from(passes(&limiter, "10.0.0.1")), Ordering::Relaxed);
                }
            });
        }
    });
    assert_eq!(passed.into_inner(), 1000);
}

#[test]
fn a_flood_of_keys_is_bounded_and_does_not_push_out_who_comes_often() {
    const CAP: usize = 8192;
    let clock = FakeRelativeClock::default();
    let config = Limit { quota: Quota::with_period(Duration::from_secs(3600)).unwrap(), ..limit(BY_ADDRESS, 1, CAP) };
    let limiter = Limiter::with_clock(&config, clock);
    assert!(passes(&limiter, "192.0.2.1"));
    let headers = HeaderMap::new();
    for count in 0..1_000_000_u32 {
        let client = IpAddr::V6(Ipv6Addr::from(u128::from(count) << 64 | 0x2001 << 112));
        assert_eq!(
            limiter.check(&Subject { route: "app", client, headers: &headers, plugin_keys: &[] }),
            Decision::Allowed
        );
        assert!(limiter.keys() <= CAP);
        if count % 50 == 0 {
            assert!(!passes(&limiter, "192.0.2.1"), "forgotten after {count} keys");
        }
    }
    assert!(limiter.evictions() >= 1_000_000 - CAP as u64);
}

#[test]
fn a_small_cap_is_exact() {
    let limiter = Limiter::with_clock(&limit(BY_ADDRESS, 1, 2), FakeRelativeClock::default());
    for client in ["10.0.0.1", "10.0.0.2", "10.0.0.3"] {
        assert!(passes(&limiter, client));
    }
    assert_eq!((limiter.keys(), limiter.evictions()), (2, 1));
    assert!(!passes(&limiter, "10.0.0.2"));
    assert!(passes(&limiter, "10.0.0.1"), "the longest unused was forgotten");
}

#[test]
fn what_plugins_set_counts_by_its_last_value_and_who_has_none_is_not_counted() {
    let limiter = Limiter::with_clock(&limit(Key::Plugin("tenant".into()), 1, 100), FakeRelativeClock::default());
    let passes = |keys: &[(&str, &str)]| {
        let headers = HeaderMap::new();
        let keys: Vec<(Box<str>, Bytes)> =
            keys.iter().map(|(name, value)| ((*name).into(), Bytes::copy_from_slice(value.as_bytes()))).collect();
        let client = "10.0.0.1".parse().unwrap();
        let subject = Subject { route: "app", client, headers: &headers, plugin_keys: &keys };
        limiter.check(&subject) == Decision::Allowed
    };
    for _ in 0..3 {
        assert!(passes(&[]));
        assert!(passes(&[("tenan", "acme"), ("tenants", "acme")]));
    }
    assert_eq!(limiter.keys(), 0);
    assert!(passes(&[("tenant", "acme")]));
    assert!(!passes(&[("tenant", "acme")]));
    assert!(passes(&[("tenant", "acme"), ("tenant", "globex")]), "the last one counts");
    assert!(!passes(&[("tenant", "globex")]));
    assert!(passes(&[("tenant", "")]), "an empty value is a value");
    assert!(!passes(&[("tenant", "")]));
    assert_eq!(limiter.keys(), 3);
}
