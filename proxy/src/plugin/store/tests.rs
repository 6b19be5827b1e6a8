//! What a plugin author would notice of the store, and what an operator would see of it.

use std::thread;

use super::*;
use crate::telemetry::metrics::Registry;
use crate::telemetry::metrics::catalogue::Catalogue;

const SECOND: Duration = Duration::from_secs(1);

/// A store with room for so many entries with a key of one byte and a value of three.
fn store(entries: usize) -> Store {
    let registry = Registry::new();
    let plugin = Catalogue::new(&registry).unwrap().plugin;
    let gauge = |family| registry.shared().gauge(family, &["p"]);
    Store::new(entries * (1 + 3 + OVERHEAD), gauge(&plugin.store_bytes), gauge(&plugin.store_entries))
}

fn text(store: &Store, key: &str, now: Instant) -> Option<String> {
    store.get(key.as_bytes(), now).map(|value| String::from_utf8(value.to_vec()).unwrap())
}

/// What the gauges show: bytes and entries.
fn shown(store: &Store) -> (usize, usize) {
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "small counts")]
    let whole = |gauge: &Gauge| gauge.get() as usize;
    (whole(&store.bytes), whole(&store.entries))
}

#[test]
fn a_value_is_there_until_it_is_replaced_or_removed() {
    let (store, now) = (store(10), Instant::now());
    assert_eq!(text(&store, "a", now), None);
    store.set(b"a", b"one", None, now).unwrap();
    store.set(b"b", b"", None, now).unwrap();
    store.set(b"", b"nameless", None, now).unwrap();
    store.set(b"a", b"two", None, now).unwrap();
    assert_eq!(text(&store, "a", now + SECOND * 1_000_000).as_deref(), Some("two"));
    assert_eq!(text(&store, "b", now).as_deref(), Some(""));
    assert_eq!(text(&store, "", now).as_deref(), Some("nameless"));
    assert_eq!(shown(&store), (1 + 3 + 1 + 8 + 3 * OVERHEAD, 3));
    assert!(store.remove(b"a", now));
    assert!(!store.remove(b"a", now));
    assert_eq!(text(&store, "a", now), None);
    assert_eq!(shown(&store), (1 + 8 + 2 * OVERHEAD, 2));
}

#[test]
fn a_value_with_a_time_is_gone_when_it_is_over() {
    let (store, now) = (store(10), Instant::now());
    store.set(b"a", b"one", Some(SECOND), now).unwrap();
    assert!(text(&store, "a", now + SECOND - Duration::from_nanos(1)).is_some());
    assert_eq!(text(&store, "a", now + SECOND), None);
    assert!(!store.remove(b"a", now + SECOND), "what is over is not there to be removed");
    store.set(b"a", b"one", Some(SECOND), now).unwrap();
    store.set(b"a", b"two", Some(SECOND * 5), now).unwrap();
    assert_eq!(text(&store, "a", now + SECOND * 4).as_deref(), Some("two"), "the last time counts");
    store.set(b"a", b"two", None, now).unwrap();
    assert_eq!(text(&store, "a", now + SECOND * 9).as_deref(), Some("two"), "and so does none");
    store.set(b"b", b"two", Some(Duration::MAX), now).unwrap();
    assert!(text(&store, "b", now + SECOND * 1_000_000).is_some());
}

#[test]
fn a_swap_needs_what_is_there() {
    let (store, now) = (store(10), Instant::now());
    assert_eq!(store.swap(b"a", Some(b""), b"one", None, now), Err(Unchanged::Conflict));
    assert_eq!(store.swap(b"a", None, b"one", Some(SECOND), now), Ok(()));
    assert_eq!(store.swap(b"a", None, b"two", None, now), Err(Unchanged::Conflict));
    assert_eq!(store.swap(b"a", Some(b"on"), b"two", None, now), Err(Unchanged::Conflict));
    assert_eq!(text(&store, "a", now).as_deref(), Some("one"));
    assert_eq!(store.swap(b"a", Some(b"one"), b"two", Some(SECOND), now), Ok(()));
    assert_eq!(store.swap(b"a", Some(b"two"), b"not", None, now + SECOND), Err(Unchanged::Conflict));
    assert_eq!(store.swap(b"a", None, b"new", None, now + SECOND), Ok(()), "what is over is absent");
    assert_eq!(text(&store, "a", now + SECOND).as_deref(), Some("new"));
}

#[test]
fn numbers_are_counted_up_and_down_within_their_range_and_time() {
    let (store, now) = (store(10), Instant::now());
    assert_eq!(store.increment(b"a", 3, Some(SECOND), now), Ok(3));
    assert_eq!(store.increment(b"a", -5, Some(SECOND * 9), now + SECOND / 2), Ok(-2));
    assert_eq!(store.get(b"a", now).unwrap()[..], (-2_i64).to_le_bytes());
    assert_eq!(store.increment(b"a", 1, None, now + SECOND), Ok(1), "its time began with the first");
    store.set(b"b", &i64::MAX.to_le_bytes(), None, now).unwrap();
    assert_eq!(store.increment(b"b", 1, None, now), Err(Unchanged::NoNumber));
    assert_eq!(store.increment(b"b", 0, None, now), Ok(i64::MAX));
    store.set(b"c", &(i64::MIN + 1).to_le_bytes(), None, now).unwrap();
    assert_eq!(store.increment(b"c", -1, None, now), Err(Unchanged::NoNumber), "the number that stands for nothing");
    for value in [&b""[..], b"seven77", b"ninenine9"] {
        store.set(b"d", value, None, now).unwrap();
        assert_eq!(store.increment(b"d", 1, None, now), Err(Unchanged::NoNumber), "{value:?}");
        assert_eq!(store.get(b"d", now).unwrap()[..], *value);
    }
}

#[test]
fn the_budget_holds_and_what_is_over_goes_first() {
    let (store, now) = (store(3), Instant::now());
    store.set(b"a", b"one", Some(SECOND), now).unwrap();
    store.set(b"b", b"one", Some(SECOND * 5), now).unwrap();
    store.set(b"c", b"one", None, now).unwrap();
    let full = Err(Unchanged::Full);
    assert_eq!(store.set(b"d", b"one", None, now), full);
    assert_eq!(store.swap(b"d", None, b"one", None, now), full);
    assert_eq!(store.increment(b"d", 1, None, now), full.map(|()| 0));
    assert_eq!(store.set(b"a", b"four", None, now), full, "one byte more than there is room for");
    assert_eq!(text(&store, "a", now).as_deref(), Some("one"));
    assert_eq!(store.set(b"c", b"two", None, now), Ok(()), "as long as before is no more than before");
    assert_eq!(store.set(b"d", b"one", None, now + SECOND), Ok(()), "the place of the one that is over");
    assert_eq!(shown(&store), (3 * (1 + 3 + OVERHEAD), 3));
    assert_eq!([text(&store, "a", now + SECOND), text(&store, "b", now + SECOND)], [None, Some("one".to_owned())]);
    assert_eq!(store.set(b"e", &[0; 1000], None, now + SECOND), full, "what can never fit");
    assert!(text(&store, "b", now + SECOND).is_some());
    assert!(store.remove(b"b", now + SECOND));
    assert_eq!(store.set(b"e", b"one", None, now + SECOND), Ok(()));
}

#[test]
fn much_that_is_over_makes_room_for_something_large() {
    let (store, now) = (store(1000), Instant::now());
    for n in 0..500_u16 {
        store.set(&n.to_le_bytes(), b"ab", Some(SECOND), now).unwrap();
    }
    let large = vec![0; 1000 * (1 + 3 + OVERHEAD) - 1 - OVERHEAD];
    assert_eq!(store.set(b"a", &large, None, now), Err(Unchanged::Full));
    assert_eq!(shown(&store).1, 500);
    assert_eq!(store.set(b"a", &large, None, now + SECOND), Ok(()));
    assert_eq!(shown(&store), (1000 * (1 + 3 + OVERHEAD), 1));
}

#[test]
fn a_write_clears_a_few_away_in_passing() {
    let (store, now) = (store(1000), Instant::now());
    for n in 0..40_u16 {
        store.set(&n.to_le_bytes(), b"ab", Some(SECOND), now).unwrap();
    }
    let mut left = Vec::new();
    for _ in 0..4 {
        store.set(b"a", b"one", None, now + SECOND).unwrap();
        left.push(shown(&store).1 - 1);
    }
    assert_eq!(left, [24, 8, 0, 0]);
    assert!(store.lock().ends.is_empty());
}

#[test]
fn a_smaller_budget_takes_nothing_away() {
    let (store, now) = (store(3), Instant::now());
    for key in [b"a", b"b", b"c"] {
        store.set(key, b"one", None, now).unwrap();
    }
    store.resize(2 * (1 + 3 + OVERHEAD));
    assert_eq!(store.set(b"a", b"two", None, now), Ok(()));
    assert_eq!(store.set(b"a", b"four", None, now), Err(Unchanged::Full));
    assert_eq!(store.set(b"d", b"", None, now), Err(Unchanged::Full));
    assert_eq!(text(&store, "a", now).as_deref(), Some("two"));
    assert_eq!(text(&store, "c", now).as_deref(), Some("one"));
    assert!(store.remove(b"b", now) && store.remove(b"c", now));
    assert_eq!(store.set(b"a", b"four", None, now), Ok(()));
    store.resize(usize::MAX);
    assert_eq!(store.set(b"d", b"one", None, now), Ok(()));
}

#[test]
fn workers_agree() {
    let (store, now) = (store(100), Instant::now());
    let add_one_by_swap = || loop {
        let old = store.get(b"swapped", now);
        let number = old.as_deref().map_or(0, |value| value[0]);
        if store.swap(b"swapped", old.as_deref(), &[number + 1], None, now).is_ok() {
            return;
        }
    };
    thread::scope(|scope| {
        for worker in 0..8_u8 {
            let (store, add_one_by_swap) = (&store, &add_one_by_swap);
            scope.spawn(move || {
                for round in 0..500_u64 {
                    store.increment(b"counted", 1, None, now).unwrap();
                    let _ = store.set(&[worker, round.to_le_bytes()[0]], &round.to_le_bytes(), Some(SECOND), now);
                    store.remove(&[worker, round.to_le_bytes()[0]], now);
                }
                (0..20).for_each(|_| add_one_by_swap());
            });
        }
    });
    assert_eq!(store.increment(b"counted", 0, None, now), Ok(8 * 500));
    assert_eq!(store.get(b"swapped", now).unwrap()[0], 8 * 20);
    assert_eq!(shown(&store), (7 + 8 + 7 + 1 + 2 * OVERHEAD, 2));
}

#[test]
fn nothing_is_shown_of_a_store_that_is_gone() {
    let (store, now) = (store(3), Instant::now());
    let (bytes, entries) = (store.bytes.clone(), store.entries.clone());
    store.set(b"a", b"one", None, now).unwrap();
    assert!(bytes.get() > 0.0 && entries.get() > 0.0);
    drop(store);
    assert_eq!((bytes.get(), entries.get()), (0.0, 0.0));
}
