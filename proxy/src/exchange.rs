//! The walk of one request, from its head to its record: the only file that orders the stages.
//! It contains no stage's detail; those live in the rooms below and in the files beside.

mod attempt;
mod chain;
mod connection;
mod head;
mod policy;
mod request_body;
mod response;
mod scrape;
mod switch;
mod under_way;

use std::rc::Rc;
use std::time::Duration;

use http::Response;

use crate::error::Reason;
use crate::plugin::contract::LocalReply;
use crate::wire::body::Body;
use crate::wire::server::Call;

pub use connection::{Connection, Place};
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
pub(crate) async fn run(connection: Rc<Connection>, call: Call) -> Response<Body> {
    let Call { request, verdict, upgrade, interim } = call;
    let place = connection.place();
    let (parts, body) = request.into_parts();
    if let Some(answer) = scrape::answer(&place, &parts, verdict) {
        return answer;
    }
    let mut exchange = Exchange::begin(&connection, place, parts);
    exchange.interim = interim;
    let stopped = match verdict {
        Err(reason) => Stop::from(reason),
        Ok(()) => match walk(&mut exchange, body, upgrade.is_some()).await {
            Ok(answer) => return response::deliver(exchange, answer, upgrade),
            Err(stop) => stop,
        },
    };
    match stopped {
        Stop::Refused(refusal) => response::refuse(exchange, &refusal),
        Stop::Reply(reply) => response::local(exchange, *reply),
        Stop::WrongVersion => response::wrong_version(exchange),
    }
}

/// The stages, in their order.
async fn walk(exchange: &mut Exchange, body: Body, can_switch: bool) -> Result<attempt::Answer, Stop> {
    head::clean(exchange)?;
    policy::route(exchange)?;
    policy::limits(exchange)?;
    chain::request(exchange)?;
    let switch = switch::wanted(exchange, can_switch)?;
    let answer = attempt::send(exchange, body, switch).await?;
    response::clean(exchange)?;
    chain::response(exchange)?;
    Ok(answer)
}

// === impl Stop ===

impl From<Reason> for Stop {
    fn from(reason: Reason) -> Self {
        Self::Refused(Refusal { reason, retry_after: None })
    }
}
