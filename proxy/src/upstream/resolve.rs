//! Names to addresses, remembered for a while by each worker.
//! It connects to nothing.

use std::cell::RefCell;
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

/// One worker's answers.
///
/// Looking up runs on the runtime's blocking threads, since the system's resolver blocks; give the runtime a few of them.
#[derive(Debug, Default)]
pub struct Resolver {
    known: RefCell<HashMap<Arc<str>, (Instant, Rc<[IpAddr]>)>>,
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
        let known = self.known.borrow().get(&endpoint.host).cloned();
        if let Some((since, addresses)) = &known
            && since.elapsed() < TTL
        {
            return Ok(addresses.clone());
        }
        let found = tokio::net::lookup_host((&*endpoint.host, endpoint.port)).await.and_then(|found| {
            let addresses: Rc<[IpAddr]> = found.map(|address: SocketAddr| address.ip()).collect();
            if addresses.is_empty() { Err(io::ErrorKind::NotFound.into()) } else { Ok(addresses) }
        });
        match (found, known) {
            (Ok(addresses), _) => {
                self.known.borrow_mut().insert(endpoint.host.clone(), (Instant::now(), addresses.clone()));
                Ok(addresses)
            }
            (Err(_), Some((_, stale))) => Ok(stale),
            (Err(error), None) => Err(error),
        }
    }

    /// Forgets names that nobody asked for lately.
    pub fn reap(&self) {
        self.known.borrow_mut().retain(|_, (since, _)| since.elapsed() < TTL * 20);
    }
}
