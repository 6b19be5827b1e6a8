//! What a reader of the log sees, whatever clients and plugins send.

use std::rc::Rc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use http::HeaderValue;
use http::header::{HeaderName, USER_AGENT};
use serde_json::{Value as Json, json};

use super::*;
use crate::error::Reason;
use crate::telemetry::metrics::Registry;
use crate::telemetry::record::{BreakerDecision, Field, Value};
use crate::telemetry::scope::WorkerScope;
use crate::telemetry::tests::{begin, request, serve};

fn worker() -> Rc<WorkerScope> {
    Rc::new(WorkerScope::silent(&Registry::new()).unwrap())
}

fn log(format: LogFormat) -> AccessLog {
    let include = vec![LogInclude::RequestHeader(USER_AGENT), LogInclude::ResponseHeader(http::header::SERVER)];
    let config = config::AccessLog {
        format,
        output: config::LogOutput::Stdout,
        include,
        fields: vec![("environment".into(), "a \"test\"".into()), ("tenant".into(), "nobody".into())],
        redact_query: vec!["token".into(), "key".into()],
    };
    AccessLog::new(&config, &"edge".into())
}

fn write(format: LogFormat, record: &Record) -> String {
    let at = UNIX_EPOCH + Duration::from_micros(1_767_323_045_678_901);
    let ending = Ending { at, duration: Duration::from_micros(3214), sampled: true };
    let mut out = Vec::new();
    log(format).write(record, &ending, &Stamp::default(), &mut out);
    String::from_utf8(out).expect("a line is UTF-8")
}

fn served(path: &str) -> Box<Record> {
    let worker = worker();
    let mut record = begin(&worker, request(path, &[("user-agent", "curl/8")]));
    serve(&worker, &mut record, 200);
    record.captured.headers = log(LogFormat::Json).capture(&record.request.headers);
    record.correlation.id = "0198".into();
    record.trace.trace_id = 0x4bf9;
    record.trace.span.0 = 0xf0;
    record.attempts[0].head = Some(record.attempts[0].started + Duration::from_micros(2911));
    record
}

fn field(key: &str, value: Value) -> Field {
    Field { plugin: 0, key: key.into(), value }
}

#[test]
fn a_json_line_has_its_fields_in_order() {
    let mut record = served("/users/42?a=1&token=secret");
    record.response_bytes = 512;
    record.client = "203.0.113.9".parse().unwrap();
    record.limits.push(("per-client".into(), true));
    record.breaker = Some(BreakerDecision::Allowed);
    record.fields.push(field("tenant", Value::Text("old".into())));
    record.fields.push(field("tenant", Value::Text("acme".into())));
    record.fields.push(field("n", Value::Int(i64::MIN)));
    record.fields.push(field("f", Value::Float(0.1)));
    record.fields.push(field("nan", Value::Float(f64::NAN)));
    record.fields.push(field("b", Value::Bool(true)));
    let expected = concat!(
        r#"{"timestamp":"2026-01-02T03:04:05.678901Z","level":"info","message":"GET /users/{id} 200","correlation_id":"0198","#,
        r#""trace_id":"00000000000000000000000000004bf9","span_id":"00000000000000f0","sampled":true,"listener":"web","route":"users","#,
        r#""upstream":"app","endpoint":"10.0.0.5:3000","client_address":"203.0.113.9","method":"GET","host":"api.example.com","#,
        r#""path":"/users/42","query":"a=1&token=REDACTED","protocol":"HTTP/1.1","status":200,"duration_ms":3.214,"upstream_ms":2.911,"#,
        r#""request_bytes":0,"response_bytes":512,"attempts":1,"error":null,"service":"edge","limits":{"per-client":"allowed"},"#,
        r#""breaker":"allowed","request_header.user-agent":"curl/8","environment":"a \"test\"","tenant":"acme","n":-9223372036854775808,"f":0.1,"nan":null,"b":true}"#,
        "\n"
    );
    assert_eq!(write(LogFormat::Json, &record), expected);
    assert!(RESERVED.iter().all(|key| is_reserved_field(key)));
    assert!(is_reserved_field("request_header.user-agent") && !is_reserved_field("tenant"));
}

#[test]
fn the_level_says_whose_fault_it_was() {
    for (status, error, expected) in [
        (Some(200), None, "info"),
        (Some(404), None, "info"),
        (Some(500), None, "error"),
        (Some(429), Some(Reason::RateLimited), "warn"),
        (Some(404), Some(Reason::NoRoute), "warn"),
        (None, Some(Reason::ClientClosed), "warn"),
        (Some(200), Some(Reason::UpstreamBodyIncomplete), "error"),
        (Some(503), Some(Reason::BreakerOpen), "error"),
    ] {
        let worker = worker();
        let mut record = begin(&worker, request("/", &[]));
        if let Some(status) = status {
            serve(&worker, &mut record, status);
        }
        record.error = error;
        let line: Json = serde_json::from_str(&write(LogFormat::Json, &record)).unwrap();
        assert_eq!(line["level"], expected, "{status:?} {error:?}");
        let error = error.map_or(Json::Null, |e| json!({ "source": e.source().as_str(), "reason": e.as_str() }));
        assert_eq!(line["error"], error);
    }
}

/// What clients and plugins would send to forge a line.
fn hostile() -> Vec<Vec<u8>> {
    let mut all: Vec<Vec<u8>> = vec![
        b"\",\"level\":\"error\",\"x\":\"".to_vec(),
        b"a\"}\n{\"level\":\"error\"}".to_vec(),
        b"a\\\" b=c\r\nlevel=error \\".to_vec(),
        b"\x00\x01\x1b[31m\x7f\x08".to_vec(),
        b"\xff\xfe\xc3(\xed\xa0\x80".to_vec(),
        "\u{2028}\u{2029}\u{85}\u{feff}é😀".as_bytes().to_vec(),
        b"".to_vec(),
        b"=".to_vec(),
        b"x".repeat(64 * 1024),
        b"\"\n\\\x01".repeat(16 * 1024),
    ];
    all.extend((0..=255_u8).map(|byte| vec![b'a', byte, b'b']));
    all
}

#[test]
fn no_bytes_can_forge_or_break_a_line() {
    for bytes in hostile() {
        let text = String::from_utf8_lossy(&bytes).into_owned();
        let mut record = served("/users/42");
        record.fields.push(field(&format!("k{text}"), Value::Text(text.clone().into())));
        // A header can hold what is left of it after the rules of HTTP.
        let printable: Vec<u8> = bytes.iter().copied().filter(|byte| *byte >= 0x20 && *byte != 0x7f).collect();
        record.captured.headers = vec![HeaderValue::from_bytes(&printable).ok()];
        record.request.host = text.clone().into();

        let line = write(LogFormat::Json, &record);
        assert_eq!((line.matches('\n').count(), line.ends_with('\n')), (1, true));
        let json: Json = serde_json::from_str(&line).unwrap();
        let first = |text: &str| text.chars().take(40).collect::<String>();
        assert_eq!(json[format!("k{text}")], text, "{}", first(&text));
        assert_eq!(json["host"], text);
        assert_eq!(json["request_header.user-agent"], String::from_utf8_lossy(&printable).into_owned());
        assert_eq!((&json["level"], &json["status"]), (&json!("info"), &json!(200)));

        for format in [LogFormat::Logfmt, LogFormat::Text] {
            let line = write(format, &record);
            assert!(
                line.ends_with('\n') && line.bytes().filter(|byte| byte.is_ascii_control()).count() == 1,
                "{}",
                first(&line)
            );
            // Outside of quotes nothing says what was not said.
            let mut quoted = false;
            let mut escaped = false;
            let bare: String = line
                .chars()
                .filter(|character| {
                    let was = quoted;
                    match character {
                        _ if escaped => escaped = false,
                        '\\' if quoted => escaped = true,
                        '"' => quoted = !quoted,
                        _ => {}
                    }
                    !was && !quoted
                })
                .collect();
            assert!(!quoted && !bare.contains("level=error"), "{}", first(&line));
        }
    }
}

#[test]
fn logfmt_has_the_same_facts() {
    let mut record = served("/users/42?q=a%20b");
    record.error = Some(Reason::UpstreamBodyIncomplete);
    record.limits.push(("per-client".into(), false));
    record.fields.push(field("my key", Value::Text("a b".into())));
    let line = write(LogFormat::Logfmt, &record);
    let expected = concat!(
        "timestamp=2026-01-02T03:04:05.678901Z level=error message=\"GET /users/{id} 200\" correlation_id=0198 ",
        "trace_id=00000000000000000000000000004bf9 span_id=00000000000000f0 sampled=true listener=web route=users upstream=app ",
        "endpoint=10.0.0.5:3000 client_address=10.0.0.1 method=GET host=api.example.com path=/users/42 query=\"q=a%20b\" ",
        "protocol=HTTP/1.1 status=200 duration_ms=3.214 upstream_ms=2.911 request_bytes=0 response_bytes=0 attempts=1 ",
        "error.source=upstream error.reason=upstream_body_incomplete service=edge limits.per-client=limited ",
        "request_header.user-agent=curl/8 environment=\"a \\\"test\\\"\" tenant=nobody my_key=\"a b\"\n"
    );
    assert_eq!(line, expected);
}

#[test]
fn text_is_for_people() {
    let mut record = served("/users/42?key=1");
    record.fields.push(field("tenant", Value::Text("acme".into())));
    let expected = concat!(
        "2026-01-02T03:04:05.678901Z info 10.0.0.1 \"GET /users/42?key=REDACTED HTTP/1.1\" 200 0B 3.214ms ",
        "correlation_id=0198 host=api.example.com route=users endpoint=10.0.0.5:3000 request_header.user-agent=curl/8 ",
        "environment=\"a \\\"test\\\"\" tenant=acme\n"
    );
    assert_eq!(write(LogFormat::Text, &record), expected);
}

#[test]
fn secrets_in_a_query_are_not_written() {
    let names: Vec<Arc<str>> = vec!["token".into(), "key".into()];
    for (query, expected) in [
        ("a=1", "a=1"),
        ("token=x", "token=REDACTED"),
        ("TOKEN=x&a=1", "TOKEN=REDACTED&a=1"),
        ("a=1&key=x&key=y", "a=1&key=REDACTED&key=REDACTED"),
        ("%74oken=x", "%74oken=REDACTED"),
        ("a=1;token=x;b", "a=1;token=REDACTED;b"),
        ("token", "token"),
        ("token=a=b", "token=REDACTED"),
        ("xtoken=1&tokenx=2", "xtoken=1&tokenx=2"),
        ("%7=1&%=2&%zz=3", "%7=1&%=2&%zz=3"),
        ("", ""),
        ("&&token=x&", "&&token=REDACTED&"),
    ] {
        assert_eq!(redacted(Some(query), &names).unwrap(), expected);
    }
}

#[test]
fn times_are_rfc_3339() {
    let stamp = Stamp::default();
    for (seconds, expected) in [
        (0, "1970-01-01T00:00:00.000000Z"),
        (951_782_399, "2000-02-28T23:59:59.000000Z"),
        (951_782_400, "2000-02-29T00:00:00.000000Z"),
        (951_868_800, "2000-03-01T00:00:00.000000Z"),
        (1_709_164_800, "2024-02-29T00:00:00.000000Z"),
        (4_102_444_800, "2100-01-01T00:00:00.000000Z"),
        (4_107_542_400, "2100-03-01T00:00:00.000000Z"),
    ] {
        let mut out = Vec::new();
        stamp.push(UNIX_EPOCH + Duration::from_secs(seconds), &mut out);
        assert_eq!(String::from_utf8(out).unwrap(), expected);
    }
    let mut out = Vec::new();
    stamp.push(SystemTime::UNIX_EPOCH - Duration::from_secs(1), &mut out);
    assert_eq!(out, b"1970-01-01T00:00:00.000000Z");
}

#[test]
fn an_included_header_may_be_absent() {
    let mut record = served("/");
    record.captured.headers = vec![None];
    if let Some(response) = &mut record.response {
        response.headers.insert(HeaderName::from_static("server"), HeaderValue::from_static("origin"));
    }
    let line: Json = serde_json::from_str(&write(LogFormat::Json, &record)).unwrap();
    assert!(line.get("request_header.user-agent").is_none());
    assert_eq!(line["response_header.server"], "origin");
}

mod writer;
