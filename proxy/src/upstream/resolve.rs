//! Names to addresses, remembered for a while by each worker.
//! It connects to nothing.

use std::cell::{Cell, RefCell};
use std::collections::HashMap;
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use tokio::time::Instant;

use super::cluster::Endpoint;

/// How long an answer is used. The system's resolver does not tell the record's own time.
const TTL: Duration = Duration::from_secs(30);
/// How long a failure is believed before it is asked again.
const FAILURE_TTL: Duration = Duration::from_secs(1);

/// One worker's answers.
///
/// Looking up runs on the runtime's blocking threads, since the system's resolver blocks; give the runtime a few of them.
/// A name is looked up once at a time, however many requests wait for it.
#[derive(Debug, Default)]
pub struct Resolver {
    names: RefCell<HashMap<Arc<str>, Rc<Name>>>,
}

#[derive(Debug)]
struct Name {
    /// The last answer and when it came.
    answer: RefCell<Option<(Instant, Rc<[IpAddr]>)>>,
    failed: Cell<Option<Instant>>,
    used: Cell<Instant>,
    asking: tokio::sync::Mutex<()>,
}

// === impl Resolver ===

impl Resolver {
    /// Every address of an endpoint, in the resolver's order; never empty.
    ///
    /// An answer that is too old is still used where no new one can be had.
    ///
    /// # Errors
    /// Where the name cannot be resolved.
    pub async fn addresses(&self, endpoint: &Endpoint) -> io::Result<Rc<[IpAddr]>> {
        if let Some(address) = endpoint.address {
            return Ok(Rc::new([address]));
        }
        let name = Rc::clone(self.names.borrow_mut().entry(endpoint.host.clone()).or_default());
        name.used.set(Instant::now());
        if let Some(addresses) = name.fresh() {
            return Ok(addresses);
        }
        let _asking = name.asking.lock().await;
        if let Some(addresses) = name.fresh() {
            return Ok(addresses);
        }
        if name.failed.get().is_none_or(|failed| failed.elapsed() >= FAILURE_TTL) {
            name.ask(endpoint).await?;
        }
        name.last().ok_or_else(|| io::ErrorKind::NotFound.into())
    }

    /// Forgets names that nobody asked for lately.
    pub fn reap(&self) {
        self.names.borrow_mut().retain(|_, name| name.used.get().elapsed() < 20 * TTL);
    }
}

// === impl Name ===

impl Name {
    /// Asks the system; fails only where there is no earlier answer either.
    async fn ask(&self, endpoint: &Endpoint) -> io::Result<()> {
        let found = tokio::net::lookup_host((&*endpoint.host, endpoint.port)).await.and_then(|found| {
            let addresses: Rc<[IpAddr]> = found.map(|address: SocketAddr| address.ip()).collect();
            if addresses.is_empty() { Err(io::ErrorKind::NotFound.into()) } else { Ok(addresses) }
        });
        match found {
            Ok(addresses) => {
                self.failed.set(None);
                self.answer.replace(Some((Instant::now(), addresses)));
                Ok(())
            }
            Err(error) => {
                self.failed.set(Some(Instant::now()));
                if self.answer.borrow().is_some() { Ok(()) } else { Err(error) }
            }
        }
    }

    fn fresh(&self) -> Option<Rc<[IpAddr]>> {
        self.answer.borrow().as_ref().filter(|(since, _)| since.elapsed() < TTL).map(|(_, addresses)| addresses.clone())
    }

    fn last(&self) -> Option<Rc<[IpAddr]>> {
        self.answer.borrow().as_ref().map(|(_, addresses)| addresses.clone())
    }
}

impl Default for Name {
    fn default() -> Self {
        Self {
            answer: RefCell::default(),
            failed: Cell::new(None),
            used: Cell::new(Instant::now()),
            asking: tokio::sync::Mutex::new(()),
        }
    }
}
