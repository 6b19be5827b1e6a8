//! hyper's executor on the worker's own thread.
//! It knows nothing of what it runs.

use std::future::Future;

use hyper::rt::Executor;

/// Spawns on the current `LocalRuntime`; outside of one, spawning panics as tokio does.
#[derive(Clone, Copy, Debug)]
pub struct LocalExec;

impl<F> Executor<F> for LocalExec
where
    F: Future + 'static,
{
    fn execute(&self, future: F) {
        // The handle is not needed: the connection owns the streams, and ends them.
        drop(tokio::task::spawn_local(async move {
            future.await;
        }));
    }
}
