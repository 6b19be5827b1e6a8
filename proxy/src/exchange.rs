//! The walk of one request, from its head to its record: the only file that orders the stages.
//! It contains no stage's detail; those live in the rooms below and in the files beside.

mod attempt;
mod background;
mod bodies;
mod call_out;
mod chain;
mod connection;
mod desk;
mod events;
mod filter;
mod guests;
mod head;
mod hold;
mod orders;
mod pace;
mod policy;
mod request_body;
mod response;
mod scrape;
mod switch;
#[cfg(test)]
mod tests;
mod under_way;
mod waiting;

use std::rc::Rc;
use std::time::Duration;

use http::Response;

use crate::error::Reason;
use crate::plugin::contract::LocalReply;
use crate::wire::body::Body;
use crate::wire::server::{Call, OnUpgrade};

pub(crate) use background::tick;
pub use connection::{Connection, Place};
pub(crate) use events::breaker_transitions;
pub(crate) use guests::greet;
use response::Delivery;
pub(crate) use under_way::Exchange;

/// Why a walk ended before an upstream answered.
#[derive(Debug)]
enum Stop {
    /// Something went wrong, or a policy said no.
    Refused(Refusal),
    /// A plugin answered.
    Reply(Box<LocalReply>),
    /// The client wants a WebSocket of another version than 13.
    WrongVersion,
}

/// A reason, and when to come again.
#[derive(Debug)]
struct Refusal {
    reason: Reason,
    retry_after: Option<Duration>,
}

/// Answers one request. Whatever happens, the answer is a response and the record is emitted once.
pub(crate) fn run(connection: Rc<Connection>, call: Call) -> impl Future<Output = Response<Body>> {
    let Call { request, verdict, upgrade, interim } = call;
    let place = connection.place();
    let (parts, body) = request.into_parts();
    // Before there is a future, which would have a place of its own for the head.
    let begun = match scrape::answer(&place, &parts, verdict) {
        Some(answer) => Err(Box::new(answer)),
        None => Ok(Exchange::begin(connection, place, parts, interim)),
    };
    async move {
        match begun {
            Ok(exchange) => answer(exchange, body, verdict, upgrade).await,
            Err(answer) => *answer,
        }
    }
}

async fn answer(
    mut exchange: Box<Exchange>,
    mut body: Body,
    verdict: Result<(), Reason>,
    upgrade: Option<OnUpgrade>,
) -> Response<Body> {
    let stopped = match verdict {
        Err(reason) => Stop::from(reason),
        // The body is lent: each that owned it would have a place of its own for it.
        Ok(()) => match walk(&mut exchange, &mut body, upgrade.is_some()).await {
            Ok(delivery) => return response::deliver(exchange, body, delivery, upgrade),
            Err(stop) => {
                // What there is of an upstream's answer goes before its connection is given back.
                if exchange.lease.is_some() {
                    drop(std::mem::take(&mut body));
                }
                stop
            }
        },
    };
    exchange.collect();
    exchange.stop_sending();
    let own = match stopped {
        Stop::Refused(refusal) => response::refuse(&mut exchange, &refusal),
        Stop::Reply(reply) => response::local(&mut exchange, *reply),
        Stop::WrongVersion => response::wrong_version(&mut exchange),
    };
    if own.is_first {
        // There is an answer: nothing that a plugin says of it is another.
        let _ = chain::response(&mut exchange).await;
    }
    response::deliver_own(exchange, own)
}

/// The stages, in their order. The body is the request's until it is sent, then the response's.
async fn walk(exchange: &mut Exchange, body: &mut Body, can_switch: bool) -> Result<Delivery, Stop> {
    let found = head::clean(exchange)?;
    policy::route(exchange)?;
    head::strip(exchange, found)?;
    policy::limits(exchange)?;
    chain::request(exchange).await?;
    policy::late_limits(exchange)?;
    let switch = switch::wanted(exchange, can_switch)?;
    bodies::request(exchange, body).await?;
    let granted = attempt::send(exchange, body, switch).await?;
    response::clean(exchange, body)?;
    chain::response(exchange).await?;
    let readers = bodies::response(exchange, body).await?;
    Ok(Delivery { granted, readers })
}

// === impl Stop ===

impl From<Reason> for Stop {
    fn from(reason: Reason) -> Self {
        Self::Refused(Refusal { reason, retry_after: None })
    }
}
