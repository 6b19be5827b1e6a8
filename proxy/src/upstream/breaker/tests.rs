//! What a user would notice of a breaker, on a clock of the test's own.
//! It knows nothing of requests.

use std::num::NonZeroU32;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use governor::Quota;
use governor::clock::FakeRelativeClock;
use http::StatusCode;

use super::{Admission, Breaker, Event, Permit, State, config};

const OPEN_FOR: Duration = Duration::from_secs(5);

struct Bench {
    breaker: Breaker<FakeRelativeClock>,
    clock: FakeRelativeClock,
    seen: Arc<Mutex<Vec<State>>>,
}

fn bench(consecutive: Option<u32>, budget: Option<Quota>, probes: u32) -> Bench {
    let config = config::Breaker {
        consecutive_failures: consecutive.and_then(NonZeroU32::new),
        failure_budget: budget,
        open_for: OPEN_FOR,
        probes: NonZeroU32::new(probes).unwrap(),
    };
    let (clock, seen) = (FakeRelativeClock::default(), Arc::new(Mutex::new(Vec::new())));
    let observer = Arc::clone(&seen);
    let breaker = Breaker::new(
        config,
        clock.clone(),
        Box::new(move |event| {
            if let Event::Entered(state) = event {
                observer.lock().unwrap().push(state);
            }
        }),
    );
    Bench { breaker, clock, seen }
}

#[test]
fn the_time_of_an_open_one_ends_although_nobody_asks() {
    let bench = bench(Some(1), None, 1);
    bench.breaker.tick();
    bench.fail(1);
    bench.breaker.tick();
    assert_eq!(bench.breaker.state(), State::Open);
    bench.clock.advance(OPEN_FOR);
    bench.breaker.tick();
    bench.breaker.tick();
    assert_eq!(bench.breaker.state(), State::HalfOpen);
    bench.permit().succeed();
    assert_eq!(*bench.seen.lock().unwrap(), [State::Open, State::HalfOpen, State::Closed]);
}

impl Bench {
    fn permit(&self) -> Permit<'_, FakeRelativeClock> {
        match self.breaker.admit() {
            Admission::Pass(permit) => permit,
            Admission::Open { retry_after } => panic!("open for {retry_after:?}"),
        }
    }

    fn refused(&self) -> Duration {
        match self.breaker.admit() {
            Admission::Pass(_) => panic!("let through"),
            Admission::Open { retry_after } => retry_after,
        }
    }

    fn fail(&self, times: u32) {
        for _ in 0..times {
            self.permit().fail();
        }
    }

    fn seen(&self) -> Vec<State> {
        self.seen.lock().unwrap().clone()
    }
}

#[test]
fn failures_in_a_row_open_it_and_a_success_between_starts_over() {
    let bench = bench(Some(3), None, 1);
    bench.fail(2);
    bench.permit().succeed();
    bench.fail(2);
    assert_eq!(bench.breaker.state(), State::Closed);
    bench.fail(1);
    assert_eq!(bench.refused(), OPEN_FOR);
    bench.clock.advance(Duration::from_secs(2));
    assert_eq!(bench.refused(), Duration::from_secs(3));
    assert_eq!(bench.seen(), [State::Open]);
}

#[test]
fn failures_beyond_the_budget_open_it_even_among_successes() {
    let bench = bench(None, Some(Quota::per_minute(NonZeroU32::new(3).unwrap())), 1);
    for _ in 0..3 {
        bench.permit().succeed();
        bench.fail(1);
    }
    assert_eq!(bench.breaker.state(), State::Closed);
    bench.fail(1);
    assert_eq!(bench.breaker.state(), State::Open);
}

#[test]
fn failures_within_the_budget_do_not_open_it() {
    let bench = bench(None, Some(Quota::per_minute(NonZeroU32::new(1).unwrap())), 1);
    for _ in 0..100 {
        bench.fail(1);
        bench.clock.advance(Duration::from_secs(60));
    }
    assert_eq!(bench.seen(), []);
}

#[test]
fn probes_that_succeed_close_it() {
    let bench = bench(Some(1), None, 2);
    bench.fail(1);
    bench.clock.advance(OPEN_FOR);
    let (first, second) = (bench.permit(), bench.permit());
    assert_eq!(bench.refused(), Duration::from_secs(1));
    first.succeed();
    bench.refused();
    second.succeed();
    bench.permit().succeed();
    assert_eq!(bench.seen(), [State::Open, State::HalfOpen, State::Closed]);
}

#[test]
fn a_probe_that_fails_opens_it_again_for_the_whole_time() {
    let bench = bench(Some(1), None, 2);
    bench.fail(1);
    bench.clock.advance(OPEN_FOR);
    let (first, second) = (bench.permit(), bench.permit());
    first.fail();
    assert_eq!(bench.refused(), OPEN_FOR);
    second.succeed();
    assert_eq!(bench.seen(), [State::Open, State::HalfOpen, State::Open]);
}

#[test]
fn a_probe_that_says_nothing_makes_room_for_another() {
    let bench = bench(Some(1), None, 1);
    bench.fail(1);
    bench.clock.advance(OPEN_FOR);
    for _ in 0..10 {
        drop(bench.permit());
    }
    bench.permit().succeed();
    assert_eq!(bench.breaker.state(), State::Closed);
}

#[test]
fn what_was_let_through_before_a_transition_says_nothing_after_it() {
    let bench = bench(Some(1), None, 1);
    let (old, older) = (bench.permit(), bench.permit());
    bench.fail(1);
    bench.clock.advance(OPEN_FOR);
    let probe = bench.permit();
    old.succeed();
    older.fail();
    assert_eq!(bench.breaker.state(), State::HalfOpen);
    probe.succeed();
    assert_eq!(bench.breaker.state(), State::Closed);
}

#[test]
fn a_budget_starts_over_when_it_closes() {
    let bench = bench(None, Some(Quota::per_hour(NonZeroU32::new(1).unwrap())), 1);
    bench.fail(2);
    bench.clock.advance(OPEN_FOR);
    bench.permit().succeed();
    bench.fail(1);
    assert_eq!(bench.breaker.state(), State::Closed);
    bench.fail(1);
    assert_eq!(bench.breaker.state(), State::Open);
}

#[test]
fn server_errors_are_failures_and_client_errors_are_not() {
    let bench = bench(Some(1), None, 1);
    for status in [StatusCode::OK, StatusCode::NOT_FOUND, StatusCode::TOO_MANY_REQUESTS] {
        bench.permit().settle(status);
        assert_eq!(bench.breaker.state(), State::Closed);
    }
    bench.permit().settle(StatusCode::INTERNAL_SERVER_ERROR);
    assert_eq!(bench.breaker.state(), State::Open);
}

#[test]
fn many_workers_let_through_as_many_probes_as_configured() {
    let bench = bench(Some(1), None, 3);
    bench.fail(1);
    bench.clock.advance(OPEN_FOR);
    let breaker = &bench.breaker;
    let passed: usize = std::thread::scope(|scope| {
        let ask = || match breaker.admit() {
            Admission::Pass(permit) => {
                std::mem::forget(permit);
                1
            }
            Admission::Open { .. } => 0,
        };
        let threads: Vec<_> = (0..4).map(|_| scope.spawn(move || (0..100).map(|_| ask()).sum::<usize>())).collect();
        threads.into_iter().map(|thread| thread.join().unwrap()).sum()
    });
    assert_eq!(passed, 3);
}
