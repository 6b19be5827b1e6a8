//! How a record begins: its trace, its correlation id, and what must be kept of the request's head.
//! It knows no stage of the exchange.

use http::HeaderMap;
use http::header::{HOST, USER_AGENT};
use rand::Rng as _;
use std::num::NonZeroU128;
use std::rc::Rc;

use super::{Arrival, Captured, Correlation, ListenerScope, Record, RequestHead, Sent, SpanDetail};
use crate::moment;
use crate::telemetry::trace_context::{self, TraceContext};

// === impl Record ===

impl Record {
    /// Begins the record of an exchange; nothing but its drop ends it. The client is the peer until somebody knows better.
    pub fn begin(listener: Rc<ListenerScope>, arrival: Arrival) -> Box<Self> {
        let Arrival { peer, request } = arrival;
        let started = moment::now();
        let started_at = moment::wall(started);
        let trace = trace(&listener, &request.headers);
        let correlation = Correlation::begin(&request.headers, started_at, &mut *listener.worker.random.borrow_mut());
        // It is large: made where it stays, it is not copied.
        Box::write(
            Box::new_uninit(),
            Self {
                started,
                started_at,
                trace,
                correlation,
                peer,
                trusted_peer: false,
                client: peer.ip(),
                captured: Captured::of(&listener, &request),
                active: listener.metrics.enter(&request.method, request.https),
                listener,
                route: None,
                request,
                response: None,
                sent: Sent::default(),
                request_bytes: 0,
                response_bytes: 0,
                attempts: Vec::new(),
                error: None,
                limits: Vec::new(),
                breaker: None,
                websocket: false,
                fields: Vec::new(),
                span: SpanDetail::default(),
                spans: Vec::new(),
                call_outs: Vec::new(),
                switched: None,
                ended: None,
            },
        )
    }
}

fn trace(listener: &ListenerScope, headers: &HeaderMap) -> TraceContext {
    let incoming = trace_context::extract(headers);
    let span = listener.worker.span_id();
    let (trace_id, parent, is_random, state) = match incoming.caller {
        Some(caller) => (caller.trace_id, Some(caller.span), caller.random, caller.state),
        // Zero is not an id.
        None => {
            let id = listener.worker.random.borrow_mut().random::<NonZeroU128>();
            (id.get(), None, true, None)
        }
    };
    let sampled = listener.outputs.sampler.head(trace_id, incoming.decision);
    TraceContext { trace_id, span, parent, sampled, random: is_random, state, b3: incoming.b3 }
}

// === impl Captured ===

impl Captured {
    fn of(listener: &ListenerScope, request: &RequestHead) -> Self {
        let mut captured = Self::default();
        if let Some(log) = &listener.outputs.log {
            captured.headers = log.capture(&request.headers);
        }
        if listener.outputs.spans.is_some() {
            captured.user_agent = request.headers.get(USER_AGENT).cloned();
            captured.port = match request.uri.authority() {
                Some(authority) => authority.port_u16(),
                None => request.headers.get(HOST).and_then(|host| port(host.as_bytes())),
            };
        }
        captured
    }
}

/// Of an authority; read from its end, where it is after a few bytes.
fn port(authority: &[u8]) -> Option<u16> {
    let colon = authority.iter().rposition(|byte| *byte == b':')?;
    std::str::from_utf8(authority.get(colon + 1..)?).ok()?.parse().ok()
}
