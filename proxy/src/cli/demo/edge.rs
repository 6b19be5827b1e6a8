//! The proxy under demonstration, on its own thread, as `tidegate run` runs it.
//! It does not know what is sent through it.

use std::io;
use std::net::SocketAddr;
use std::thread;

use tokio::sync::oneshot;

use super::Error;
use crate::config::Loaded;
use crate::supervisor::{self, Ready, Start};

/// A proxy that accepts connections.
#[derive(Debug)]
pub(super) struct Edge {
    pub(super) ready: Ready,
    /// Where it takes requests.
    pub(super) address: SocketAddr,
    stop: oneshot::Sender<()>,
    end: End,
}

/// What tells how the proxy ended.
#[derive(Debug)]
struct End {
    result: oneshot::Receiver<Result<(), supervisor::Error>>,
    /// What was received already.
    known: Option<Error>,
}

impl Edge {
    /// Returns when every worker accepts.
    pub(super) async fn start(loaded: Loaded) -> Result<Self, Error> {
        let (stop, stopped) = oneshot::channel::<()>();
        let (tell, told) = oneshot::channel();
        let (finish, result) = oneshot::channel();
        // Not joined: the result is the last thing it sends, and the process may end with it.
        drop(thread::Builder::new().name("demo-proxy".to_owned()).spawn(move || {
            let start = Start {
                loaded,
                path: None,
                signals: false,
                ready: Box::new(move |ready| drop(tell.send(ready.clone()))),
                stop: Box::pin(async move { drop(stopped.await) }),
            };
            drop(finish.send(supervisor::run(start)));
        })?);
        let mut end = End { result, known: None };
        let Ok(ready) = told.await else {
            end.ended().await;
            return Err(end.failure());
        };
        let address = ready.listeners.first().map(|(_, address)| *address);
        let address = address.ok_or_else(|| io::Error::from(io::ErrorKind::AddrNotAvailable))?;
        Ok(Self { ready, address, stop, end })
    }

    /// Waits until it ends without having been told to.
    pub(super) async fn ended(&mut self) {
        self.end.ended().await;
    }

    /// Why it ended.
    pub(super) fn failure(self) -> Error {
        self.end.failure()
    }

    /// Tells it to stop; returns when it has drained and sent the last of its telemetry.
    pub(super) async fn stop(self) -> Result<(), Error> {
        let _ = self.stop.send(());
        self.end.result.await.map_err(|_| Error::Ended)?.map_err(Error::from)
    }
}

impl End {
    async fn ended(&mut self) {
        let result = (&mut self.result).await;
        self.known = result.ok().and_then(Result::err).map(Error::from);
    }

    fn failure(self) -> Error {
        self.known.unwrap_or(Error::Ended)
    }
}
