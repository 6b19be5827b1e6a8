//! The listening sockets of all workers, across versions: what stays the same keeps its socket.
//! It accepts nothing.

use std::collections::HashMap;
use std::net::SocketAddr;
use std::sync::Arc;

use crate::config::Config;
use crate::listen::{ConnectionLimit, Error, Socket};
use crate::worker::{self, Key, Opened};

/// What is open.
#[derive(Debug, Default)]
pub(super) struct Sockets {
    open: HashMap<Key, Open>,
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
            let limit = ConnectionLimit::new(listener.max_connections);
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

    /// Where each listener of the version in force listens.
    pub(super) fn addresses(&self, config: &Config) -> Vec<(Arc<str>, SocketAddr)> {
        let addresses = keys(config).into_iter().zip(&config.listeners);
        addresses
            .filter_map(|(key, listener)| Some((Arc::clone(&listener.name), self.open.get(&key)?.address)))
            .collect()
    }
}

fn keys(config: &Config) -> Vec<Key> {
    worker::keys(config.listeners.iter().map(|listener| listener.address))
}
