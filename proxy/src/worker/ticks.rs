//! What a worker does by the clock: hands telemetry over, closes old connections, calls the plugins' tick hooks, sees that the time of
//! open breakers ends, and measures how late its own clock is.
//! It sees no exchange.

use std::rc::Rc;
use std::time::Duration;

use tokio::runtime::Handle;
use tokio::time::{Instant, MissedTickBehavior, interval};

use super::Worker;
use crate::upstream::Breaker;
use crate::{exchange, moment};

/// How long a finished log line or span waits at most before it leaves the worker.
const TICK: Duration = Duration::from_millis(20);
/// How often old connections are looked for, and the busy share is measured.
const ROUND: Duration = Duration::from_secs(1);

pub(super) async fn run(worker: Rc<Worker>, number: usize) {
    let (shard, runtime) = (worker.scope.shard(), &worker.scope.catalogue().runtime);
    let delay = shard.histogram(&runtime.worker_loop_delay, &[]);
    let busy = shard.gauge(&runtime.worker_busy, &[&number.to_string()]);
    let metrics = Handle::current().metrics();
    let (mut round, mut worked) = (Instant::now(), Duration::ZERO);
    let mut clock = interval(TICK);
    clock.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        let due = clock.tick().await;
        let now = Instant::from_std(moment::now());
        delay.record(now.saturating_duration_since(due).as_secs_f64());
        worker.scope.flush();
        let passed = now.saturating_duration_since(round);
        if let Some(view) = worker.view.borrow().clone() {
            if passed >= ROUND {
                view.breakers().for_each(Breaker::tick);
            }
            exchange::tick(&view, now.into_std());
            exchange::breaker_transitions(&view);
        }
        if passed >= ROUND {
            worker.pools.reap();
            let total = metrics.worker_total_busy_duration(0);
            busy.set(total.saturating_sub(worked).as_secs_f64() / passed.as_secs_f64());
            (round, worked) = (now, total);
        }
    }
}
