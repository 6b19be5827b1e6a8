//! One listening socket of a worker: accepts, checks TLS, and has each connection served.
//! It knows HTTP only as a service.

use std::cell::{Cell, RefCell};
use std::fmt::Display;
use std::future::Future;
use std::io;
use std::net::SocketAddr;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use http::Response;
use tokio::net::TcpStream;
use tokio::sync::watch;
use tokio::task::JoinHandle;
use tokio::time::Instant;

use crate::exchange::{self, Connection, Place};
use crate::listen::accept::Failure;
use crate::listen::tls::{self, Agreed, HandshakeError};
use crate::listen::{Acceptor, ConnectionLimit, Full, Socket};
use crate::telemetry::metrics::{Counter, Gauge};
use crate::telemetry::scope::WorkerScope;
use crate::vitals::{Alive, Vitals};
use crate::wire::body::Body;
use crate::wire::server::{self, Call, Protocol, Service, Settings};

/// How often the log hears of a shortage that lasts.
const SAY_EVERY: Duration = Duration::from_secs(10);

/// A socket that is accepted from until this is closed.
#[derive(Debug)]
pub(super) struct Listening {
    place: Rc<RefCell<Place>>,
    counts: Rc<RefCell<Rc<Counts>>>,
    drain: watch::Sender<bool>,
    accepting: JoinHandle<()>,
}

struct Accepting {
    place: Rc<RefCell<Place>>,
    drain: watch::Receiver<bool>,
    limit: ConnectionLimit,
    vitals: Rc<Vitals>,
    /// Another one when the listener gets another name.
    counts: Rc<RefCell<Rc<Counts>>>,
}

/// The metrics of a listener's connections.
#[derive(Debug)]
struct Counts {
    listener: Arc<str>,
    accepted: Counter,
    active: Gauge,
    limit: Counter,
    tls: Counter,
    tls_timeout: Counter,
    resources: Counter,
    aborted: Counter,
    plugin: Counter,
    /// When the log last heard of a shortage.
    said: Cell<Option<Instant>>,
}

struct Exchanges(Rc<Connection>);

/// Where plugins decide on a connection, after TLS and before its first byte of HTTP.
struct Door {
    place: Place,
    counts: Rc<Counts>,
}

// === impl Listening ===

impl Listening {
    pub(super) fn open(
        socket: Socket,
        limit: ConnectionLimit,
        place: Place,
        scope: &WorkerScope,
        vitals: &Rc<Vitals>,
    ) -> io::Result<Self> {
        let counts = Rc::new(RefCell::new(Rc::new(Counts::new(scope, &name(&place)))));
        let acceptor = Acceptor::new(socket.listen()?);
        let (drain, draining) = watch::channel(false);
        let place = Rc::new(RefCell::new(place));
        let accepting = Accepting {
            place: Rc::clone(&place),
            drain: draining,
            limit,
            vitals: Rc::clone(vitals),
            counts: Rc::clone(&counts),
        };
        let accepting = tokio::task::spawn_local(accepting.run(acceptor));
        Ok(Self { place, counts, drain, accepting })
    }

    /// New exchanges of its connections see this from now on, and new connections are counted under its name.
    pub(super) fn place(&self, place: Place, scope: &WorkerScope) {
        let name = name(&place);
        if self.counts.borrow().listener != name {
            self.counts.replace(Rc::new(Counts::new(scope, &name)));
        }
        self.place.replace(place);
    }

    /// Stops accepting once the backlog is empty; connections end with the exchanges under way.
    /// What is returned is ready when there will be no further connection.
    pub(super) fn close(self) -> JoinHandle<()> {
        let _ = self.drain.send(true);
        self.accepting
    }
}

// === impl Accepting ===

impl Accepting {
    async fn run(self, mut acceptor: Acceptor) {
        let mut drain = self.drain.clone();
        loop {
            let accepted = tokio::select! {
                accepted = acceptor.accept(|failure, error| self.counts.borrow().failed(failure, error)) => accepted,
                _ = drain.wait_for(|draining| *draining) => break,
            };
            self.admit(accepted);
        }
        for accepted in acceptor.queued() {
            self.admit(accepted);
        }
    }

    fn admit(&self, (stream, peer): (TcpStream, SocketAddr)) {
        let counts = Rc::clone(&self.counts.borrow());
        counts.accepted.inc();
        // Said by closing: an answer would cost what the limit is there to save.
        let admitted = match self.limit.admit() {
            Ok(admitted) => admitted,
            Err(Full::Listener) => return counts.limit.inc(),
            Err(Full::Process) => return counts.exhausted(&"the limit of file descriptors allows no more"),
        };
        let Ok(local) = stream.local_addr() else { return counts.aborted.inc() };
        let place = self.place.borrow().clone();
        let Some(config) = place.view.listener_config(place.listener) else { return };
        let settings = Settings { head: config.head, idle_timeout: config.idle_timeout };
        let tls = place.view.snapshot().tls.get(place.listener).cloned().flatten();
        let alive = Alive::new(&self.vitals, &counts.active);
        let connection = Connection::new(Rc::clone(&self.place), peer, local, tls.is_some(), admitted, alive);
        let service = Rc::new(Exchanges(Rc::new(connection)));
        let drain = self.drain.clone();
        // Those who are told of connections are rare: without them nothing is waited for, nor room made for that.
        let has_plugins = !place.view.connection_plugins(place.listener).is_empty();
        let door = has_plugins.then(|| Door { place, counts: Rc::clone(&counts) });
        let Some(tls) = tls else {
            if let Some(door) = door {
                drop(tokio::task::spawn_local(async move {
                    if door.lets_in(&service.0, &settings).await {
                        serve(stream, Protocol::Detect, service, settings, drain).await;
                    }
                }));
                return;
            }
            drop(tokio::task::spawn_local(serve(stream, Protocol::Detect, service, settings, drain)));
            return;
        };
        drop(tokio::task::spawn_local(async move {
            match tls::handshake(&tls, stream).await {
                Ok((stream, agreed)) => {
                    let protocol = match agreed {
                        Agreed::H2 => Protocol::Http2,
                        Agreed::Http11 => Protocol::Http1,
                        Agreed::Nothing => Protocol::Detect,
                    };
                    let passes = match door {
                        None => true,
                        Some(door) => Box::pin(door.lets_in(&service.0, &settings)).await,
                    };
                    if passes {
                        serve(stream, protocol, service, settings, drain).await;
                    }
                }
                Err(HandshakeError::Timeout) => counts.tls_timeout.inc(),
                Err(error) => {
                    counts.tls.inc();
                    tracing::debug!(%peer, %error, "tls");
                }
            }
        }));
    }
}

// === impl Door ===

impl Door {
    /// Asks the plugins; they have the time of a request's head.
    async fn lets_in(self, connection: &Connection, settings: &Settings) -> bool {
        let greeted = exchange::greet(self.place, connection);
        match tokio::time::timeout(settings.head.timeout, greeted).await {
            Ok(Ok(guests)) => {
                if let Some(guests) = guests {
                    connection.host(guests);
                }
                true
            }
            Ok(Err(_)) | Err(_) => {
                self.counts.plugin.inc();
                false
            }
        }
    }
}

fn name(place: &Place) -> Arc<str> {
    place.view.listener_config(place.listener).map_or_else(|| Arc::from(""), |listener| Arc::clone(&listener.name))
}

async fn serve<IO: server::Io + 'static>(
    io: IO,
    protocol: Protocol,
    service: Rc<Exchanges>,
    settings: Settings,
    drain: watch::Receiver<bool>,
) {
    let peer = service.0.peer;
    if let Err(error) = server::serve(io, protocol, Instant::now(), service, settings, drain).await {
        tracing::debug!(%peer, %error, "connection");
    }
}

impl Service for Exchanges {
    fn call(&self, call: Call) -> impl Future<Output = Response<Body>> + 'static {
        exchange::run(Rc::clone(&self.0), call)
    }
}

// === impl Counts ===

impl Counts {
    fn new(scope: &WorkerScope, listener: &Arc<str>) -> Self {
        let (shard, admission) = (scope.shard(), &scope.catalogue().admission);
        let rejected = |reason| shard.counter(&admission.connections_rejected, &[listener, reason]);
        Self {
            listener: Arc::clone(listener),
            accepted: shard.counter(&admission.connections, &[listener]),
            active: shard.gauge(&admission.connections_active, &[listener]),
            limit: rejected("limit"),
            tls: rejected("tls"),
            tls_timeout: rejected("tls_timeout"),
            resources: rejected("resources"),
            aborted: rejected("aborted"),
            plugin: rejected("plugin"),
            said: Cell::default(),
        }
    }

    fn failed(&self, failure: Failure, error: &io::Error) {
        match failure {
            Failure::Connection => self.aborted.inc(),
            Failure::Exhausted => {
                self.exhausted(error);
            }
        }
    }

    fn exhausted(&self, error: &dyn Display) {
        self.resources.inc();
        let now = Instant::now();
        if self.said.get().is_none_or(|said| now.duration_since(said) >= SAY_EVERY) {
            self.said.set(Some(now));
            tracing::warn!(listener = %self.listener, %error, "cannot take connections; counted until this is said again");
        }
    }
}
