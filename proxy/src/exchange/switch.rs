//! WebSocket: whether the client asked for one, whether the upstream granted it, and the session that follows.
//! It moves no byte itself.

use std::rc::Rc;
use std::time::Duration;

use bytes::Bytes;
use hyper::upgrade::{Parts, Upgraded};
use hyper_util::rt::TokioIo;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;

use crate::error::Reason;
use crate::exchange::{Exchange, Stop};
use crate::upstream::Tapped;
use crate::upstream::config::Protocol;
use crate::websocket::{self, Side, Traffic};
use crate::wire::joined::Joined;
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
    upstream: hyper::upgrade::OnUpgrade,
    idle: Duration,
) {
    let traffic = Rc::new(Traffic::default());
    exchange.traffic = Some(Rc::clone(&traffic));
    let ended = match (client.upgraded().await, upstream.await) {
        (None, _) => Err(Reason::ClientClosed),
        (_, Err(_)) => Err(Reason::UpstreamClosed),
        (Some(client), Ok(upstream)) => {
            // It is no HTTP connection any more, and what belongs to one is some KiB.
            if let Some(lease) = &mut exchange.lease {
                lease.give_up();
            }
            let client = Side { io: client.io, early: client.early.freeze() };
            // Inside is a plain connection, nearly always; then it is used without the layers around it.
            match upstream.downcast::<TokioIo<Tapped<Joined<TcpStream>>>>() {
                Ok(Parts { io, read_buf, .. }) => {
                    let upstream = Side { io: io.into_inner().into_inner().0, early: read_buf };
                    websocket::splice(client, upstream, idle, &traffic).await
                }
                Err(upstream) => websocket::splice(client, wrapped(upstream), idle, &traffic).await,
            }
        }
    };
    match ended {
        Ok(()) => exchange.completed(),
        Err(reason) => exchange.fail(reason),
    }
}

fn wrapped(upgraded: Upgraded) -> Side<impl AsyncRead + AsyncWrite + Unpin> {
    Side { io: TokioIo::new(upgraded), early: Bytes::new() }
}
