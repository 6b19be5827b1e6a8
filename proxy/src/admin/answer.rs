//! What each path of the admin port answers.
//! It opens no socket.

use bytes::Bytes;
use http::header::{ACCEPT, ALLOW, CONTENT_TYPE, ORIGIN};
use http::{HeaderValue, Method, Request, Response, StatusCode};
use http_body_util::Full;
use serde_json::{Value, json};

use super::{Control, State};

type Answer = Response<Full<Bytes>>;

const INDEX: &str = "\
tidegate

GET  /healthz    200 while the process lives
GET  /readyz     200 while traffic is accepted, else 503
GET  /health     health in JSON, 503 when unhealthy
GET  /status     listeners, upstreams, limits, plugins, configuration in JSON
POST /-/reload   read the configuration again
";

pub(super) async fn answer<B>(control: &dyn Control, request: &Request<B>) -> Answer {
    let method = if request.method() == Method::HEAD { &Method::GET } else { request.method() };
    match (method, request.uri().path()) {
        (&Method::GET, "/") => index(control),
        (&Method::GET, path) if is_scrape(control, path) => metrics(control, request),
        (&Method::GET, "/healthz") => text(StatusCode::OK, "ok\n"),
        (&Method::GET, "/readyz") if control.is_ready() => text(StatusCode::OK, "ready\n"),
        (&Method::GET, "/readyz") => text(StatusCode::SERVICE_UNAVAILABLE, "not ready\n"),
        (&Method::GET, "/health") => health(control),
        (&Method::GET, "/status") => json_answer(StatusCode::OK, &control.describe()),
        (&Method::POST, "/-/reload") if is_from_page(request) => {
            json_answer(StatusCode::FORBIDDEN, &json!({ "error": "a page in a browser may not ask for a reload" }))
        }
        (&Method::POST, "/-/reload") => match control.reload().await {
            Ok(version) => json_answer(StatusCode::OK, &json!({ "version": version })),
            Err(problem) => json_answer(StatusCode::UNPROCESSABLE_ENTITY, &problem),
        },
        (_, "/" | "/healthz" | "/readyz" | "/health" | "/status") => not_allowed("GET, HEAD"),
        (_, path) if is_scrape(control, path) => not_allowed("GET, HEAD"),
        (_, "/-/reload") => not_allowed("POST"),
        _ => text(StatusCode::NOT_FOUND, "nothing here; GET / lists what there is\n"),
    }
}

fn index(control: &dyn Control) -> Answer {
    let mut page = INDEX.to_owned();
    for path in control.scrape_paths() {
        page.push_str(&format!("GET  {path:<11} metrics, in the text format or OpenMetrics\n"));
    }
    text(StatusCode::OK, &page)
}

fn is_scrape(control: &dyn Control, path: &str) -> bool {
    control.scrape_paths().iter().any(|scrape| **scrape == *path)
}

/// Whether a page in a browser asks. This port serves no page that could, and that a page's origin is equal to the host says
/// nothing: whoever owns a name can let it point here (DNS rebinding).
fn is_from_page<B>(request: &Request<B>) -> bool {
    let site = request.headers().get("sec-fetch-site").map(HeaderValue::as_bytes);
    request.headers().contains_key(ORIGIN) || site.is_some_and(|site| site != b"none")
}

fn metrics<B>(control: &dyn Control, request: &Request<B>) -> Answer {
    let accept = request.headers().get(ACCEPT).and_then(|accept| accept.to_str().ok());
    match control.scrape(accept) {
        Ok((content_type, body)) => with_type(StatusCode::OK, HeaderValue::from_static(content_type), body.into()),
        Err(error) => text(StatusCode::INTERNAL_SERVER_ERROR, &format!("{error}\n")),
    }
}

fn health(control: &dyn Control) -> Answer {
    let checks = control.checks();
    let worst = checks.iter().map(|(_, check)| check.state).max().unwrap_or(State::Healthy);
    let (status, word) = match worst {
        State::Healthy => (StatusCode::OK, "healthy"),
        State::Warning => (StatusCode::OK, "degraded"),
        State::Unhealthy => (StatusCode::SERVICE_UNAVAILABLE, "unhealthy"),
    };
    let checks = checks.into_iter().map(|(name, check)| {
        let mut value = json!({ "status": check.state.as_str() });
        if let (Some(message), Value::Object(object)) = (check.message, &mut value) {
            object.insert("message".to_owned(), message.into());
        }
        (name.to_owned(), value)
    });
    let body = json!({
        "status": word,
        "version": env!("CARGO_PKG_VERSION"),
        "uptime": control.uptime().as_secs(),
        "timestamp": super::now(),
        "checks": checks.collect::<serde_json::Map<_, _>>(),
    });
    json_answer(status, &body)
}

fn not_allowed(allow: &'static str) -> Answer {
    let mut answer = text(StatusCode::METHOD_NOT_ALLOWED, "method not allowed\n");
    answer.headers_mut().insert(ALLOW, HeaderValue::from_static(allow));
    answer
}

fn text(status: StatusCode, text: &str) -> Answer {
    with_type(status, HeaderValue::from_static("text/plain; charset=utf-8"), text.to_owned().into())
}

fn json_answer(status: StatusCode, value: &Value) -> Answer {
    let body = format!("{value:#}\n");
    with_type(status, HeaderValue::from_static("application/json"), body.into())
}

fn with_type(status: StatusCode, content_type: HeaderValue, body: Bytes) -> Answer {
    let mut answer = Response::new(Full::new(body));
    *answer.status_mut() = status;
    answer.headers_mut().insert(CONTENT_TYPE, content_type);
    answer
}
