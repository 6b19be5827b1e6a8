//! WebSocket: whether the client asked for one, whether the upstream granted it, and the session that follows.
//! It moves no byte itself.

use std::rc::Rc;
use std::time::Duration;

use crate::error::Reason;
use crate::exchange::{Exchange, Stop};
use crate::upstream::config::Protocol;
use crate::websocket::{self, Side, Traffic};
use crate::wire::client::{Stream, Upgraded};
use crate::wire::server;
use crate::wire::upgrade::{self, Handshake, Key};

/// The key of a handshake that the client asks for and that can be granted.
pub(super) fn wanted(exchange: &mut Exchange, can_switch: bool) -> Result<Option<Key>, Stop> {
    match std::mem::replace(&mut exchange.handshake, Handshake::None) {
        Handshake::None => Ok(None),
        Handshake::Invalid => Err(Reason::InvalidUpgrade.into()),
        Handshake::WrongVersion => Err(Stop::WrongVersion),
        Handshake::WebSocket(_) if !can_switch => Err(Reason::InvalidUpgrade.into()),
        // The protocol is configured, so this is known before anything is sent; a plain answer would only puzzle the client.
        Handshake::WebSocket(_) if speaks_http2(exchange) => Err(Reason::WebsocketUnsupported.into()),
        Handshake::WebSocket(key) => {
            let record = exchange.record()?;
            upgrade::set_upgrade(&mut record.request.headers);
            Ok(Some(key))
        }
    }
}

fn speaks_http2(exchange: &Exchange) -> bool {
    exchange.client().is_some_and(|client| client.cluster().config().protocol == Protocol::Http2)
}

/// Runs the session once both sides have left HTTP; the record is emitted at its end.
pub(super) async fn session(
    mut exchange: Box<Exchange>,
    client: server::OnUpgrade,
    upstream: Upgraded,
    idle: Duration,
) {
    let traffic = Rc::new(Traffic::default());
    exchange.traffic = Some(Rc::clone(&traffic));
    // It is no HTTP connection any more, and what belongs to one is some KiB.
    if let Some(lease) = &mut exchange.lease {
        lease.give_up();
    }
    let ended = match client.upgraded().await {
        None => Err(Reason::ClientClosed),
        Some(client) => {
            let client = Side { io: client.io, early: client.early.freeze() };
            let Upgraded { stream, early } = upstream;
            // Nearly always it is a plain connection; then it is used without what tells it from others.
            match stream {
                Stream::Tcp(io) => websocket::splice(client, Side { io, early }, idle, &traffic).await,
                io => websocket::splice(client, Side { io, early }, idle, &traffic).await,
            }
        }
    };
    match ended {
        Ok(()) => exchange.completed(),
        Err(reason) => exchange.fail(reason),
    }
}
