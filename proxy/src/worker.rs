//! One core: a current-thread runtime, its accept loops, and the view that new exchanges see.
//! It reads no file, compiles nothing, and never blocks.

mod listening;
mod ticks;

use std::cell::RefCell;
use std::collections::HashMap;
use std::io;
use std::net::SocketAddr;
use std::rc::Rc;
use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::Duration;

use tokio::runtime::LocalRuntime;
use tokio::sync::{mpsc, oneshot, watch};
use tokio::time::{Instant, sleep_until};

use crate::exchange::Place;
use crate::listen::{ConnectionLimit, Socket};
use crate::snapshot::Snapshot;
use crate::telemetry::scope::WorkerScope;
use crate::upstream::Pools;
use crate::view::{Hold, View};
use crate::vitals::Vitals;
use listening::Listening;

/// Names a listening socket across versions: its configured address, and which of the listeners with that address it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Key {
    pub address: SocketAddr,
    pub occurrence: usize,
}

/// A socket for a worker to accept from.
#[derive(Debug)]
pub struct Opened {
    pub key: Key,
    pub socket: Socket,
    pub limit: ConnectionLimit,
}

/// What control tells a worker.
#[derive(Debug)]
enum Order {
    /// New exchanges see this version from now on; listeners that it does not have are closed.
    /// Answers how long it held the worker at a stretch.
    Adopt { snapshot: Arc<Snapshot>, opened: Vec<Opened>, done: oneshot::Sender<Duration> },
    /// Stop accepting, finish what is under way, at most until then or until hurried. Answers how many connections were cut.
    Drain { until: Instant, hurried: watch::Receiver<bool>, done: oneshot::Sender<usize> },
}

/// Control's hand on a worker. Dropped without a drain, the worker ends at once.
#[derive(Debug)]
pub struct Handle {
    orders: mpsc::UnboundedSender<Order>,
    thread: JoinHandle<()>,
}

/// A worker does not answer: its thread has ended.
#[derive(Clone, Copy, Debug, thiserror::Error)]
#[error("a worker has ended unexpectedly")]
pub struct Gone;

struct Worker {
    scope: Rc<WorkerScope>,
    pools: Pools,
    vitals: Rc<Vitals>,
    view: RefCell<Option<Rc<View>>>,
    listening: RefCell<HashMap<Key, Listening>>,
}

// === impl Handle ===

impl Handle {
    /// Starts the thread of the worker with this number.
    ///
    /// # Errors
    /// When the system gives no thread or no event queue.
    pub fn spawn(number: usize, scope: WorkerScope) -> io::Result<Self> {
        let (orders, receiver) = mpsc::unbounded_channel();
        let (started, start) = std::sync::mpsc::sync_channel(1);
        let run = move || {
            let runtime =
                match tokio::runtime::Builder::new_current_thread().enable_all().build_local(Default::default()) {
                    Ok(runtime) => runtime,
                    Err(error) => return drop(started.send(Err(error))),
                };
            drop(started.send(Ok(())));
            run(runtime, number, Rc::new(scope), receiver);
        };
        let thread = std::thread::Builder::new().name(format!("worker-{number}")).spawn(run)?;
        start.recv().unwrap_or_else(|_| Err(io::Error::other(Gone)))?;
        Ok(Self { orders, thread })
    }

    /// Has the worker take over a version; returns when it has, with the longest time at a stretch in which it did nothing else.
    ///
    /// # Errors
    /// When the worker is gone.
    pub async fn adopt(&self, snapshot: Arc<Snapshot>, opened: Vec<Opened>) -> Result<Duration, Gone> {
        let (done, adopted) = oneshot::channel();
        self.orders.send(Order::Adopt { snapshot, opened, done }).map_err(|_| Gone)?;
        adopted.await.map_err(|_| Gone)
    }

    /// Returns when the worker takes no orders any more: after a drain, or because its thread is gone.
    pub async fn gone(&self) {
        self.orders.closed().await;
    }

    /// Has the worker finish what is under way, at most until `until` or until `hurried` is true; returns how many
    /// connections were cut then.
    pub async fn drain(&self, until: Instant, hurried: watch::Receiver<bool>) -> usize {
        let (done, drained) = oneshot::channel();
        if self.orders.send(Order::Drain { until, hurried, done }).is_err() {
            return 0;
        }
        drained.await.unwrap_or_default()
    }

    /// Waits for the thread to end; after a drain it does so at once. Whatever it still held is recorded then.
    pub fn join(self) {
        drop(self.orders);
        if self.thread.join().is_err() {
            tracing::error!("a worker panicked");
        }
    }
}

fn run(runtime: LocalRuntime, number: usize, scope: Rc<WorkerScope>, orders: mpsc::UnboundedReceiver<Order>) {
    let worker = Rc::new(Worker {
        pools: Pools::new(scope.shard().clone(), scope.catalogue(), number as u64),
        scope,
        vitals: Rc::default(),
        view: RefCell::default(),
        listening: RefCell::default(),
    });
    runtime.block_on(Rc::clone(&worker).obey(number, orders));
    // What is still under way ends here, and says so in its record.
    drop(runtime);
    worker.scope.flush();
}

// === impl Worker ===

impl Worker {
    async fn obey(self: Rc<Self>, number: usize, mut orders: mpsc::UnboundedReceiver<Order>) {
        drop(tokio::task::spawn_local(ticks::run(Rc::clone(&self), number)));
        while let Some(order) = orders.recv().await {
            match order {
                Order::Adopt { snapshot, opened, done } => {
                    let held = self.adopt(snapshot, opened).await;
                    let _ = done.send(held);
                }
                Order::Drain { until, hurried, done } => {
                    let cut = self.drain(until, hurried).await;
                    let _ = done.send(cut);
                    return;
                }
            }
        }
    }

    async fn adopt(&self, snapshot: Arc<Snapshot>, opened: Vec<Opened>) -> Duration {
        let mut hold = Hold::begin();
        let before = self.view.borrow().clone();
        let view = View::new(snapshot, &self.scope, &self.pools, Rc::clone(&self.vitals), before.as_deref(), &mut hold);
        let view = Rc::new(view.await);
        let keys = keys(view.snapshot().config.listeners.iter().map(|listener| listener.address));
        let mut listening = self.listening.borrow_mut();
        for (_, closed) in listening.extract_if(|key, _| !keys.contains(key)) {
            drop(closed.close());
        }
        for (listener, key) in keys.iter().enumerate() {
            if let Some(listening) = listening.get(key) {
                listening.place(Place { view: Rc::clone(&view), listener }, &self.scope);
            }
        }
        for new in opened {
            let Some(listener) = keys.iter().position(|key| *key == new.key) else { continue };
            let place = Place { view: Rc::clone(&view), listener };
            match Listening::open(new.socket, new.limit, place, &self.scope, &self.vitals) {
                Ok(opened) => drop(listening.insert(new.key, opened)),
                Err(error) => tracing::error!(address = %new.key.address, %error, "cannot accept from a socket"),
            }
        }
        drop(listening);
        if let Some(before) = self.view.replace(Some(view)) {
            before.retire();
        }
        // Where no exchange is under way, the instances of the version before end here.
        drop(before);
        hold.end()
    }

    async fn drain(&self, until: Instant, mut hurried: watch::Receiver<bool>) -> usize {
        let closing: Vec<_> = self.listening.take().into_values().map(Listening::close).collect();
        for accepting in closing {
            // It has no reason to fail; then there is nothing more to come either.
            let _ = accepting.await;
        }
        tokio::select! {
            () = self.vitals.quiet() => {}
            () = sleep_until(until) => {}
            () = told(&mut hurried) => {}
        }
        self.vitals.cut_off.set(true);
        self.scope.flush();
        self.vitals.connections.get()
    }
}

/// Ready when it is true; never when nobody can make it so any more.
async fn told(hurried: &mut watch::Receiver<bool>) {
    if hurried.wait_for(|hurried| *hurried).await.is_err() {
        std::future::pending::<()>().await;
    }
}

/// The keys of listeners with these addresses, in order.
pub fn keys(addresses: impl Iterator<Item = SocketAddr>) -> Vec<Key> {
    let mut seen: HashMap<SocketAddr, usize> = HashMap::new();
    addresses
        .map(|address| {
            let next = seen.entry(address).or_default();
            let occurrence = std::mem::replace(next, *next + 1);
            Key { address, occurrence }
        })
        .collect()
}

#[cfg(test)]
mod tests;
