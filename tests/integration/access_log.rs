//! The access log: one line for each exchange, in three formats, and nothing that a client sends can forge one.
//! The correlation id and what plugins add have their own modules.

use tidegate_tests::{get, origin, proxy, raw};

#[tokio::test]
async fn a_json_line_has_what_the_reference_says() {
    let origin = origin().start();
    let proxy = proxy()
        .config("routes: [{ name: users, match: { path: \"/users/{id}\" }, upstream: app }]")
        .config(format!("upstreams: {{ app: {{ endpoints: [\"{}\"] }} }}", origin.address()))
        .start();
    let head = "POST /users/42?a=b&token=s3cret&Password=x HTTP/1.1\r\nhost: API.example.com:80\r\ncontent-length: 5\r\n\r\nhello";
    let answer = raw(proxy.address()).send(head).response();
    let line = proxy.wait_for_log(1).remove(0);
    let keys: Vec<_> = line.as_object().unwrap().keys().map(String::as_str).collect();
    let promised = [
        "timestamp",
        "level",
        "message",
        "correlation_id",
        "trace_id",
        "span_id",
        "sampled",
        "listener",
        "route",
        "upstream",
        "endpoint",
        "client_address",
        "method",
        "host",
        "path",
        "protocol",
        "status",
        "duration_ms",
        "upstream_ms",
        "request_bytes",
        "response_bytes",
        "attempts",
        "error",
    ];
    for name in promised {
        assert!(keys.contains(&name), "{name} is missing: {line:#}");
    }
    assert_eq!((&line["level"], &line["message"]), (&"info".into(), &"POST /users/{id} 200".into()));
    assert_eq!((&line["listener"], &line["route"], &line["upstream"]), (&"web".into(), &"users".into(), &"app".into()));
    assert_eq!(line["endpoint"], origin.address().to_string());
    assert_eq!(
        (&line["host"], &line["path"], &line["protocol"]),
        (&"api.example.com".into(), &"/users/42".into(), &"HTTP/1.1".into())
    );
    assert_eq!((&line["request_bytes"], &line["response_bytes"]), (&5.into(), &answer.body.len().into()));
    assert!(line["duration_ms"].as_f64().unwrap() >= line["upstream_ms"].as_f64().unwrap());
    let timestamp = line["timestamp"].as_str().unwrap();
    assert!(timestamp.len() == 27 && timestamp.ends_with('Z'), "{timestamp}");
    // Secrets in the query are not written.
    let text = line.to_string();
    assert!(!text.contains("s3cret") && !text.contains("Password=x"), "{text}");
}

#[tokio::test]
async fn headers_on_request() {
    let origin = origin().start();
    let proxy = proxy()
        .origin(&origin)
        .config("telemetry: { access_log: { include: [request_header.user-agent, response_header.content-type] } }")
        .start();
    raw(proxy.address()).send("GET / HTTP/1.1\r\nhost: a.test\r\nuser-agent: \"x\"\\y\u{1f600}\r\n\r\n").response();
    let text = proxy.wait_for_log(1)[0].to_string();
    assert!(text.contains("application/json") && text.contains("\\\"x\\\""), "{text}");
}

#[tokio::test]
async fn logfmt_and_text_are_one_line_each() {
    for format in ["logfmt", "text"] {
        let origin = origin().start();
        let proxy =
            proxy().origin(&origin).config(format!("telemetry: {{ access_log: {{ format: {format} }} }}")).start();
        get(proxy.address(), "/users/42").await;
        get(proxy.address(), "/status/503").await;
        tidegate_tests::eventually("two lines", || proxy.output_lines().len() >= 2);
        let mut lines = proxy.output_lines();
        assert_eq!(lines.len(), 2);
        // Two workers: either may be first.
        lines.sort_by_key(|line| line.contains("/status/503"));
        assert!(lines[0].contains("/users/42") && lines[0].contains("200") && lines[1].contains("503"), "{lines:#?}");
        if format == "logfmt" {
            assert!(
                lines[0].contains("status=200") && lines[0].contains("route=app") && lines[0].contains("attempts=1"),
                "{}",
                lines[0]
            );
        }
    }
}

#[tokio::test]
async fn to_a_file_that_can_be_rotated() {
    let origin = origin().start();
    let proxy = proxy().origin(&origin).config("telemetry: { access_log: { output: logs.jsonl } }").start();
    let path = proxy.folder().join("logs.jsonl");
    let lines = |path: &std::path::Path| std::fs::read_to_string(path).map_or(0, |text| text.lines().count());
    get(proxy.address(), "/").await;
    tidegate_tests::eventually("a line in the file", || lines(&path) == 1);
    // logrotate moves the file and sends SIGHUP.
    let moved = proxy.folder().join("logs.jsonl.1");
    std::fs::rename(&path, &moved).unwrap();
    proxy.signal("HUP");
    tidegate_tests::eventually("the file is opened anew", || path.exists());
    get(proxy.address(), "/").await;
    tidegate_tests::eventually("a line in the new file", || lines(&path) == 1);
    assert_eq!(lines(&moved), 1);
    assert!(proxy.output_lines().is_empty());
}

#[tokio::test]
async fn a_user_signal_opens_the_file_anew_and_does_nothing_else() {
    let origin = origin().start();
    let mut proxy = proxy().origin(&origin).config("telemetry: { access_log: { output: logs.jsonl } }").start();
    let path = proxy.folder().join("logs.jsonl");
    let lines = |path: &std::path::Path| std::fs::read_to_string(path).map_or(0, |text| text.lines().count());
    get(proxy.address(), "/").await;
    tidegate_tests::eventually("a line in the file", || lines(&path) == 1);
    for moved in ["logs.jsonl.1", "logs.jsonl.2"] {
        let moved = proxy.folder().join(moved);
        std::fs::rename(&path, &moved).unwrap();
        proxy.signal("USR1");
        // At once: whoever moves logs away may look for the new file.
        tidegate_tests::eventually("the file is opened anew", || path.exists());
        get(proxy.address(), "/").await;
        tidegate_tests::eventually("a line in the new file", || lines(&path) == 1);
        assert_eq!(lines(&moved), 1);
    }
    assert!(!proxy.diagnostics().iter().any(|line| line["message"] == "configuration reloaded"));
    assert_eq!(proxy.stop().code(), Some(0));
}

#[test]
fn a_line_cannot_be_forged() {
    let origin = origin().start();
    for format in ["json", "logfmt", "text"] {
        let proxy = proxy()
            .origin(&origin)
            .config(format!(
                "telemetry: {{ access_log: {{ format: {format}, include: [request_header.user-agent] }} }}"
            ))
            .start();
        let tricks = [
            "GET /%0a%7b%22status%22:200%7d HTTP/1.1\r\nhost: a.test\r\n\r\n",
            "GET /?x=%0d%0aforged HTTP/1.1\r\nhost: a.test\r\n\r\n",
            "GET / HTTP/1.1\r\nhost: a.test\r\nuser-agent: a\tb\"c\\d\u{2028}e\r\n\r\n",
            "GET / HTTP/1.1\r\nhost: a.test\r\nx-request-id: a\"b c\r\n\r\n",
            "GET /\"quoted\" HTTP/1.1\r\nhost: a.test\r\n\r\n",
        ];
        for trick in tricks {
            raw(proxy.address()).send(trick).response();
        }
        tidegate_tests::eventually("all lines", || proxy.output_lines().len() >= tricks.len());
        assert_eq!(proxy.output_lines().len(), tricks.len());
        if format == "json" {
            assert!(proxy.log_lines().iter().all(|line| line["trace_id"].as_str().unwrap().len() == 32));
        }
    }
}

#[tokio::test]
async fn a_log_that_cannot_be_written_loses_lines_and_no_requests() {
    let origin = origin().start();
    let proxy = proxy().origin(&origin).config("telemetry: { access_log: { output: /dev/full } }").start();
    // Some lines wait for the disk to have room again; of these there are more than may wait.
    let path = format!("/{}", "x".repeat(6_000));
    let mut client = tidegate_tests::Connection::http1(proxy.address()).await;
    for _ in 0..400 {
        assert_eq!(client.get(&path).await.status, 200);
    }
    tidegate_tests::eventually("lost lines are counted", || {
        proxy
            .scrape()
            .value("tidegate_telemetry_log_lines_total", &[("outcome", "dropped"), ("reason", "write_failed")])
            > 0.0
    });
    proxy.wait_for_said(&["\"level\":\"error\"", "/dev/full"]);
}

#[tokio::test]
async fn an_access_log_that_is_off_writes_nothing_and_all_else_goes_on() {
    let origin = origin().start();
    let mut proxy = proxy().origin(&origin).config("telemetry: { access_log: { output: off } }").start();
    assert_eq!(get(proxy.address(), "/").await.status, 200);
    proxy.wait_for_metric("http_server_request_duration_seconds_count", &[], 1.0);
    assert!(proxy.stop().success());
    assert!(proxy.output_lines().is_empty(), "{:?}", proxy.output_lines());
}
