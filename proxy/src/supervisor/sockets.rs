//! The listening sockets of all workers, across versions: what stays the same keeps its socket.
//! It accepts nothing.

use std::collections::HashMap;
use std::net::SocketAddr;
use std::num::NonZeroU32;
use std::sync::Arc;

use crate::config::Config;
use crate::listen::{ConnectionLimit, Error, Socket};
use crate::worker::{self, Key, Opened};

/// File descriptors that connections do not get: about 20 for the process, two for each worker, and the admin port's.
const KEPT: u64 = 96;

/// What is open.
#[derive(Debug)]
pub(super) struct Sockets {
    open: HashMap<Key, Open>,
    /// How many connections of clients the process can hold, over all listeners.
    ceiling: ConnectionLimit,
    /// Opened for a version that is not in force yet.
    fresh: Vec<Key>,
}

#[derive(Debug)]
struct Open {
    /// What the port 0 became.
    address: SocketAddr,
    limit: ConnectionLimit,
}

// === impl Sockets ===

impl Sockets {
    /// Nothing is open, and connections of clients get no more than their part of so many file descriptors.
    pub(super) fn new(descriptors: Option<u64>) -> Self {
        let ceiling = ConnectionLimit::new(descriptors.map_or(NonZeroU32::MAX, ceiling));
        Self { open: HashMap::new(), ceiling, fresh: Vec::new() }
    }

    /// Opens what `config` has and is not open yet, once for each worker.
    ///
    /// # Errors
    /// When an address cannot be listened on; then nothing has changed.
    pub(super) fn open(&mut self, config: &Config, workers: usize) -> Result<Vec<Vec<Opened>>, Error> {
        let mut opened: Vec<Vec<Opened>> = (0..workers).map(|_| Vec::new()).collect();
        for (key, listener) in keys(config).into_iter().zip(&config.listeners) {
            if self.open.contains_key(&key) {
                continue;
            }
            let limit = ConnectionLimit::within(listener.max_connections, &self.ceiling);
            let bound = Socket::bind(listener).and_then(|first| {
                let address = first.address();
                let others = (1..workers).map(|_| first.another()).collect::<Result<Vec<_>, _>>()?;
                Ok((address, std::iter::once(first).chain(others).collect::<Vec<_>>()))
            });
            let (address, sockets) = match bound {
                Ok(bound) => bound,
                Err(error) => {
                    self.abandon();
                    return Err(error);
                }
            };
            for (socket, opened) in sockets.into_iter().zip(&mut opened) {
                opened.push(Opened { key, socket, limit: limit.clone() });
            }
            self.open.insert(key, Open { address, limit });
            self.fresh.push(key);
        }
        Ok(opened)
    }

    /// Says where listeners may have more connections than file descriptors allow.
    pub(super) fn warn_of_shortage(&self, config: &Config) {
        let wanted: u64 = config.listeners.iter().map(|listener| u64::from(listener.max_connections.get())).sum();
        let max = u64::from(self.ceiling.max());
        if wanted > max {
            tracing::warn!(
                max_connections = wanted,
                possible = max,
                "the limit of file descriptors allows fewer connections than max_connections; raise it (LimitNOFILE, ulimit -n)"
            );
        }
    }

    /// The version that sockets were opened for is not used after all.
    pub(super) fn abandon(&mut self) {
        for key in std::mem::take(&mut self.fresh) {
            self.open.remove(&key);
        }
    }

    /// The version is in force: workers have closed what it does not have.
    pub(super) fn commit(&mut self, config: &Config) {
        self.fresh.clear();
        let keys = keys(config);
        self.open.retain(|key, _| keys.contains(key));
        for (key, listener) in keys.iter().zip(&config.listeners) {
            if let Some(open) = self.open.get(key) {
                open.limit.set_max(listener.max_connections);
            }
        }
    }

    /// How many connections of clients each listener of the version in force can hold.
    pub(super) fn limits<'a>(&'a self, config: &'a Config) -> impl Iterator<Item = (&'a str, u32)> {
        let max = self.ceiling.max();
        config.listeners.iter().map(move |listener| (&*listener.name, listener.max_connections.get().min(max)))
    }

    /// Where each listener of the version in force listens.
    pub(super) fn addresses(&self, config: &Config) -> Vec<(Arc<str>, SocketAddr)> {
        let addresses = keys(config).into_iter().zip(&config.listeners);
        addresses
            .filter_map(|(key, listener)| Some((Arc::clone(&listener.name), self.open.get(&key)?.address)))
            .collect()
    }
}

/// Half of them: each connection of a client may need one to an upstream. Some are kept for files, and for the admin port,
/// which is needed most when there are too few.
fn ceiling(descriptors: u64) -> NonZeroU32 {
    let clients = descriptors.saturating_sub(KEPT) / 2;
    u32::try_from(clients).ok().map_or(NonZeroU32::MAX, |clients| NonZeroU32::new(clients).unwrap_or(NonZeroU32::MIN))
}

fn keys(config: &Config) -> Vec<Key> {
    worker::keys(config.listeners.iter().map(|listener| listener.address))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn clients_leave_descriptors_for_upstreams_and_operators() {
        assert_eq!(ceiling(1024).get(), 464);
        assert_eq!(ceiling(20).get(), 1);
        assert_eq!(ceiling(u64::MAX), NonZeroU32::MAX);
    }
}
