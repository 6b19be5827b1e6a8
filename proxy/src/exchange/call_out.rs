//! A plugin's own request to one of the upstreams, from its head to the last byte of the answer.
//! It does not know who waits for it.

use std::pin::Pin;
use std::rc::Rc;
use std::sync::Arc;

use bytes::{Bytes, BytesMut};
use http::header::{CONTENT_LENGTH, HOST};
use http::{HeaderValue, Request, Response};
use tidegate_abi::limits;
use tokio::time::timeout;

use crate::error::{Reason, Source};
use crate::moment;
use crate::plugin::contract::{Answer, CallOut};
use crate::telemetry::record::Record;
use crate::telemetry::trace_context::SpanId;
use crate::upstream::{Admission, Behalf, Breaker, Client, Outgoing, Retry};
use crate::view::View;
use crate::wire::body::Body;
use crate::wire::headers;

/// How often a call-out is sent at most; a second time only where the upstream room says that this is safe.
const TRIES: usize = 2;

/// What became of an operation.
#[derive(Debug)]
pub(super) struct Done {
    pub(super) answer: Answer,
    /// The endpoint that was asked last.
    pub(super) endpoint: Option<Arc<str>>,
}

/// Prepares a call-out, and what carries it out. `record` is that of the exchange it is made for: the call-out is a span of its, and
/// tells the upstream so.
pub(super) fn begin(
    view: &Rc<View>,
    call: CallOut,
    record: Option<&mut Record>,
) -> (Option<SpanId>, impl Future<Output = Done> + use<>) {
    let CallOut { plugin, upstream, mut request, timeout: limit } = call;
    headers::strip_request(request.headers_mut());
    // Told by the body.
    request.headers_mut().remove(CONTENT_LENGTH);
    let span = record.zip(view.upstream(upstream)).map(|(record, client)| {
        let upstream = (client.cluster().name(), client.cluster().is_https());
        record.call_out(&plugin, upstream, &mut request)
    });
    let view = Rc::clone(view);
    let done = async move {
        let begun = moment::now();
        let mut endpoint = None;
        let result = match view.upstream(upstream) {
            Some(client) => guarded(client, request, limit, &mut endpoint).await,
            None => Err(Reason::Internal),
        };
        view.count_call_out(&plugin, upstream, result.is_ok(), begun.elapsed());
        let answer = match result {
            Ok(response) => Answer::Response(response),
            Err(reason) => Answer::Failed(reason),
        };
        Done { answer, endpoint }
    };
    (span, done)
}

/// Asks the breaker, and tells it what came of it. Given up meanwhile, it says nothing of the upstream.
async fn guarded(
    client: &Client,
    request: Request<Bytes>,
    limit: std::time::Duration,
    endpoint: &mut Option<Arc<str>>,
) -> Result<Response<Bytes>, Reason> {
    let permit = match client.cluster().breaker().map(Breaker::admit) {
        None => None,
        Some(Admission::Pass(permit)) => Some(permit),
        Some(Admission::Open { .. }) => return Err(Reason::BreakerOpen),
    };
    let result = timeout(limit, tries(client, request, endpoint)).await.unwrap_or(Err(Reason::Timeout));
    if let Some(permit) = permit {
        match &result {
            Ok(response) => permit.settle(response.status()),
            // The plugin may be less patient, or want less, than whoever uses the upstream otherwise.
            Err(Reason::UpstreamBodyTooLarge) => drop(permit),
            Err(Reason::Timeout) if limit < client.cluster().config().timeouts.head => drop(permit),
            Err(reason) if reason.source() == Source::Upstream || *reason == Reason::Timeout => permit.fail(),
            Err(_) => drop(permit),
        }
    }
    result
}

async fn tries(
    client: &Client,
    request: Request<Bytes>,
    last: &mut Option<Arc<str>>,
) -> Result<Response<Bytes>, Reason> {
    let named = request.headers().contains_key(HOST);
    let mut request = Some(request.map(|body| Outgoing::new(Body::full(body))));
    let mut avoid = None;
    let mut left = TRIES;
    loop {
        left -= 1;
        let endpoint = client.pick(avoid).ok_or(Reason::NoEndpoint)?;
        let text = client.endpoint(endpoint).ok_or(Reason::NoEndpoint)?;
        if let Some(request) = &mut request
            && !named
        {
            request.headers_mut().insert(HOST, HeaderValue::from_str(text).map_err(|_| Reason::Internal)?);
        }
        *last = Some(Arc::clone(text));
        match client.send(endpoint, &mut request, Behalf::default()).await {
            Ok(answer) => {
                let body = whole(answer.body).await?;
                drop(answer.lease);
                let mut response = Response::new(body);
                *response.status_mut() = answer.head.status;
                *response.version_mut() = answer.head.version;
                *response.headers_mut() = answer.head.headers;
                return Ok(response);
            }
            Err(error) => match error.retry {
                Retry::Safe if left > 0 => avoid = (!error.reused).then_some(endpoint),
                _ => return Err(error.reason),
            },
        }
    }
}

/// All of a body, where that is not more than a call-out's answer may have.
async fn whole(mut body: Body) -> Result<Bytes, Reason> {
    let mut first = Bytes::new();
    let mut all = BytesMut::new();
    while let Some(frame) = std::future::poll_fn(|cx| http_body::Body::poll_frame(Pin::new(&mut body), cx)).await {
        let Ok(data) = frame.map_err(|error| error.reason)?.into_data() else { continue };
        if first.len() + all.len() + data.len() > limits::CALL_OUT_BODY {
            return Err(Reason::UpstreamBodyTooLarge);
        }
        if first.is_empty() && all.is_empty() {
            first = data;
            continue;
        }
        if all.is_empty() {
            all.extend_from_slice(&std::mem::take(&mut first));
        }
        all.extend_from_slice(&data);
    }
    Ok(if all.is_empty() { first } else { all.freeze() })
}
