//! `body-metrics` in the running proxy: bodies reach the other side as they were sent, and the scrape tells what was in them.
//! How fields are found is tested beside the plugin.

use std::sync::Mutex;

use tidegate_tests::{PATIENCE, Proxy, RawMessage, origin, proxy, raw, raw_origin};

fn with(upstream: std::net::SocketAddr) -> Proxy {
    let label = "{ label: model, body: request, pointer: /model, values: [small, large] }";
    let number = "{ metric: llm.tokens, body: response, pointer: /usage/tokens }";
    proxy()
        .config("routes: [{ name: app, upstream: app, plugins: [bodies] }]")
        .config(format!("upstreams: {{ app: {{ endpoints: [\"{upstream}\"] }} }}"))
        .config(format!(
            "plugins:\n  bodies:\n    builtin: body-metrics\n    budget: {{ deadline: 1s }}\n    config: {{ limit: 1KiB, labels: [{label}], numbers: [{number}] }}"
        ))
        .start()
}

fn post(proxy: &Proxy, path: &str, body: &str) -> RawMessage {
    let head = format!(
        "POST {path} HTTP/1.1\r\nhost: a.test\r\ncontent-type: application/json\r\ncontent-length: {}",
        body.len()
    );
    raw(proxy.address()).send(format!("{head}\r\n\r\n{body}")).response()
}

fn sizes(proxy: &Proxy, side: &str, model: &str) -> (f64, f64) {
    let scrape = proxy.scrape();
    let of =
        |what: &str| scrape.value(&format!("body_{side}_size_bytes_{what}"), &[("plugin", "bodies"), ("model", model)]);
    (of("count"), of("sum"))
}

#[test]
fn a_field_of_the_request_labels_the_sizes_of_both_bodies() {
    let origin = origin().start();
    let proxy = with(origin.address());
    let body = r#"{"model":"large","prompt":"hello"}"#;
    let answer = post(&proxy, "/echo", body);
    assert_eq!((answer.status(), answer.text().as_str()), (200, body));
    for number in 0..20 {
        post(&proxy, "/echo", &format!("{{\"model\":\"m{number}\"}}"));
    }
    proxy.wait_for_metric("body_request_size_bytes_count", &[("model", "other")], 20.0);
    let length = body.len() as f64;
    assert_eq!(sizes(&proxy, "request", "large"), (1.0, length));
    assert_eq!(sizes(&proxy, "response", "large"), (1.0, length));
    let line = &proxy.wait_for_log(21)[0];
    assert_eq!(line["model"], "large");
}

#[test]
fn a_body_beyond_the_limit_passes_unread() {
    let origin = origin().start();
    let proxy = with(origin.address());
    let body = format!("{{\"model\":\"large\",\"prompt\":\"{}\"}}", "x".repeat(5000));
    assert_eq!(post(&proxy, "/echo", &body).text(), body);
    let labels = [("plugin", "bodies"), ("body", "request"), ("reason", "too_long")];
    proxy.wait_for_metric("body_unread_total", &labels, 1.0);
    assert_eq!(sizes(&proxy, "request", "other"), (1.0, body.len() as f64));
}

#[test]
fn the_tokens_of_a_stream_are_counted_while_its_events_pass_at_once() {
    let (seen, wait) = std::sync::mpsc::channel();
    let wait = Mutex::new(wait);
    let chunk = |data: &str| format!("{:x}\r\ndata: {data}\n\n\r\n", data.len() + 8);
    let service = raw_origin(move |_, connection| {
        if connection.message().is_none() {
            return;
        }
        connection.send("HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ntransfer-encoding: chunked\r\n\r\n");
        connection.send(chunk(r#"{"delta":"hel"}"#));
        wait.lock().unwrap().recv_timeout(PATIENCE).unwrap();
        connection.send(chunk(r#"{"delta":"lo","usage":{"tokens":7}}"#));
        connection.send(chunk("[DONE]"));
        connection.send("0\r\n\r\n");
    });
    let proxy = with(service.address());
    let mut client = raw(proxy.address());
    let body = r#"{"model":"small"}"#;
    let head = "POST /chat HTTP/1.1\r\nhost: a.test\r\ncontent-type: application/json\r\ncontent-length";
    client.send(format!("{head}: {}\r\n\r\n{body}", body.len()));
    assert!(client.head().unwrap().starts_with("HTTP/1.1 200"));
    assert_eq!((client.line(), client.line()), ("17".to_owned(), "data: {\"delta\":\"hel\"}\n\n".to_owned()));
    seen.send(()).unwrap();
    let rest: String = std::iter::repeat_with(|| client.line()).take_while(|line| line != "0").collect();
    assert!(rest.contains("tokens") && rest.contains("[DONE]"), "{rest}");
    proxy.wait_for_metric("llm_tokens_total", &[("plugin", "bodies"), ("model", "small")], 7.0);
    assert_eq!(proxy.wait_for_log(1)[0]["llm.tokens"], 7.0);
}
