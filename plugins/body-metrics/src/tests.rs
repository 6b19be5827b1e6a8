//! What someone who configures the plugin would notice.

use tidegate_sdk::prelude::*;
use tidegate_sdk::test::TestRequest;

use crate::BodyMetrics;

#[allow(clippy::needless_pass_by_value, reason = "a test writes `json!({ .. })`, and nothing around it")]
fn host(more: serde_json::Value) -> TestHost {
    let mut config = json!({
        "labels": [
            { "label": "model", "body": "request", "pointer": "/model", "values": ["small", "large"] },
            { "label": "finish", "body": "response", "pointer": "/choices/0/finish_reason", "values": ["stop", "length"] },
        ],
        "numbers": [
            { "metric": "llm.tokens", "unit": "{token}", "body": "response", "pointer": ["/usage/total", "/usage/output_tokens"] },
            { "metric": "llm.cost", "body": "response", "pointer": "/usage/cost", "buckets": [0.1, 1.0] },
        ],
    });
    config.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
    TestHost::configure::<BodyMetrics>(config).unwrap()
}

/// A request for a model that is answered with JSON.
fn chat<'h>(host: &'h mut TestHost, request: &serde_json::Value) -> TestRequest<'h> {
    let exchange = host.exchange().post("/chat").header("Content-Type", "application/json; charset=utf-8");
    exchange.request_body(request.to_string()).response_header("content-type", "application/json")
}

fn tokens(host: &TestHost, model: &str, finish: &str) -> u64 {
    host.counter("llm.tokens", [("model", model), ("finish", finish)])
}

fn unread(host: &TestHost) -> [u64; 3] {
    let count =
        |reason| ["request", "response"].map(|body| host.counter("body.unread", [("body", body), ("reason", reason)]));
    ["too_long", "malformed", "encoded"].map(|reason| count(reason).iter().sum())
}

#[test]
fn fields_of_both_bodies_label_sizes_and_numbers() {
    let mut host = host(json!({}));
    let (request, answer) = (
        json!({ "model": "small", "prompt": "hi" }),
        json!({ "choices": [{ "finish_reason": "stop" }], "usage": { "total": 12, "cost": 0.5 } }),
    );
    let exchange = chat(&mut host, &request).response_body(answer.to_string()).respond(200);
    assert_eq!(exchange.request_body(), Some(request.to_string().as_bytes()), "it goes on as it came");
    assert_eq!(exchange.response_body(), Some(answer.to_string().as_bytes()));
    let labels = [("model", "small"), ("finish", "stop")];
    assert_eq!(host.histogram("body.request.size", labels).values, [request.to_string().len() as f64]);
    assert_eq!(host.histogram("body.response.size", labels).values, [answer.to_string().len() as f64]);
    assert_eq!(host.counter("llm.tokens", labels), 12);
    assert_eq!(host.histogram("llm.cost", labels).values, [0.5]);
    assert_eq!(exchange.log_field("model"), "small");
    assert_eq!(exchange.span().attribute("llm.tokens"), 12.0);
    assert_eq!(unread(&host), [0; 3]);
}

#[test]
fn no_client_can_add_a_series() {
    let mut host = host(json!({}));
    for model in [json!("evil"), json!(["small"]), json!({ "a": 1 }), json!(7), json!(null)] {
        chat(&mut host, &json!({ "model": model }))
            .response_body(json!({ "usage": { "total": 1 } }).to_string())
            .respond(200);
    }
    assert_eq!(tokens(&host, "other", "other"), 5);
    chat(&mut host, &json!({})).response_body(r#"{"usage":{"total":-5}}"#).respond(200);
    chat(&mut host, &json!({})).response_body(r#"{"usage":{"total":"9"}}"#).respond(200);
    assert_eq!(tokens(&host, "other", "other"), 5, "what is no count is not counted");
}

#[test]
fn numbers_and_truths_are_labels_as_they_are_written() {
    let labels = json!([
        { "label": "stream", "body": "request", "pointer": "/stream", "values": ["true", "false"] },
        { "label": "n", "body": "request", "pointer": "/n", "values": ["1", "2"] },
    ]);
    let mut host = host(json!({ "labels": labels, "numbers": [] }));
    chat(&mut host, &json!({ "stream": true, "n": 2 })).respond(200);
    assert_eq!(host.histogram("body.request.size", [("stream", "true"), ("n", "2")]).count, 1);
}

#[test]
fn the_events_of_a_stream_are_read_as_they_pass() {
    let mut host = host(json!({}));
    let stream = "event: start\ndata: {\"type\":\"start\",\"usage\":{\"output_tokens\":1}}\n\n\
        data: {\"choices\":[{\"delta\":\"hi\",\"finish_reason\":null}]}\n\n\
        data: {\"choices\":[{\"finish_reason\":\"length\"}],\"usage\":{\"output_tokens\":42}}\r\n\r\n\
        data: [DONE]\n\n";
    for size in [1, 10, 1000] {
        let pieces: Vec<_> = stream.as_bytes().chunks(size).collect();
        let request =
            host.exchange().post("/").header("content-type", "application/json").request_body(r#"{"model":"large"}"#);
        let request = request.response_header("content-type", "text/event-stream").response_pieces(&pieces);
        let exchange = request.respond(200);
        assert_eq!(exchange.response_body(), Some(stream.as_bytes()));
        assert_eq!(exchange.log_field("llm.tokens"), 42.0);
        assert_eq!(exchange.log_field("finish"), "length");
    }
    assert_eq!(tokens(&host, "large", "length"), 3 * 42);
    let mut off = self::host(json!({ "event_streams": false }));
    let request = off.exchange().response_header("content-type", "text/event-stream").response_body(stream);
    assert!(request.respond(200).log_field("llm.tokens").is_absent());
}

#[test]
fn a_body_that_cannot_be_read_passes_and_is_counted() {
    let mut host = host(json!({ "limit": "64B" }));
    let long = json!({ "model": "small", "prompt": "x".repeat(100) });
    let exchange = chat(&mut host, &long).respond(200);
    assert_eq!(exchange.request_body(), Some(long.to_string().as_bytes()));
    assert_eq!(unread(&host), [1, 0, 0]);
    chat(&mut host, &json!({})).response_body("{\"usage\":").respond(200);
    assert_eq!(unread(&host), [1, 1, 0]);
    let encoded = host.exchange().header("content-type", "application/json").header("content-encoding", "gzip");
    encoded.request_body("{\"model\":\"small\"}").respond(200);
    assert_eq!(unread(&host), [1, 1, 1]);
    let event = format!(
        "data: {{\"usage\":{{\"total\":7}},\"x\":\"{}\"}}\n\ndata: {{\"usage\":{{\"total\":3}}}}\n\n",
        "x".repeat(99)
    );
    host.exchange().response_header("content-type", "text/event-stream").response_body(event).respond(200);
    assert_eq!(unread(&host), [2, 1, 1]);
    assert_eq!(tokens(&host, "other", "other"), 3);
    assert_eq!(host.histogram("body.request.size", [("model", "other"), ("finish", "other")]).count, 4);
}

#[test]
fn other_bodies_are_measured_only() {
    let mut host = host(json!({}));
    let exchange =
        host.exchange().post("/").header("content-type", "text/plain").request_pieces(["{\"model\":", "\"small\"}"]);
    let exchange = exchange.response_body("hello").respond(200);
    assert!(exchange.log_field("model").is_absent());
    assert_eq!(host.histogram("body.request.size", [("model", "other"), ("finish", "other")]).values, [17.0]);
    assert_eq!(host.histogram("body.response.size", [("model", "other"), ("finish", "other")]).values, [5.0]);
    assert_eq!(unread(&host), [0; 3]);
    let mut plain = TestHost::configure::<BodyMetrics>(json!({})).unwrap();
    plain.exchange().header("content-type", "application/json").request_body("{}").respond(200);
    assert_eq!(plain.histogram("body.request.size", []).values, [2.0]);
}

#[test]
fn a_wrong_configuration_is_refused_by_the_key() {
    let refused = |config| TestHost::configure::<BodyMetrics>(config).unwrap_err().to_string();
    let field = json!({ "label": "a", "body": "request", "pointer": "/a", "values": [] });
    assert_eq!(refused(json!({ "labels": [field, field, field, field] })), "config.labels: there are 4 of 3 at most");
    let number = json!({ "metric": "m", "body": "response", "pointer": ["/a", "b"] });
    assert_eq!(
        refused(json!({ "numbers": [number] })),
        "config.numbers[0].pointer: `b` is no JSON pointer, as `/usage/total_tokens`"
    );
    assert_eq!(refused(json!({ "limit": "65MiB" })), "config.limit: it is 1B to 64MiB");
    assert!(refused(json!({ "labels": [{ "label": "a" }] })).starts_with("config.labels[0]: missing field `body`"));
    assert!(refused(json!({ "limits": "1B" })).contains("unknown field `limits`"));
    let twice = json!({ "metric": "body.unread", "body": "response", "pointer": "/a" });
    assert!(refused(json!({ "numbers": [twice] })).contains("its name is taken"));
}
