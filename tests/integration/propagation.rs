//! Trace context in and out: W3C by its rules, B3 read and written, and bad input that never becomes an error.
//! What a span says is in `otlp`.

use tidegate_tests::{Proxy, origin, proxy, raw};

const TRACE: &str = "4bf92f3577b34da6a3ce929d0e0e4736";

fn ask(proxy: &Proxy, headers: &str) {
    assert_eq!(
        raw(proxy.address()).send(format!("GET / HTTP/1.1\r\nhost: a.test\r\n{headers}\r\n")).response().status(),
        200
    );
}

/// Trace id, span id and flags that the origin was told.
fn told(origin: &tidegate_tests::Origin) -> (String, String, String) {
    let header = origin.last().header("traceparent");
    let parts: Vec<_> = header.split('-').collect();
    assert_eq!((parts.len(), parts[0], parts[1].len(), parts[2].len()), (4, "00", 32, 16), "{header}");
    (parts[1].to_owned(), parts[2].to_owned(), parts[3].to_owned())
}

#[test]
fn a_callers_trace_goes_on() {
    let origin = origin().start();
    let proxy = proxy().origin(&origin).start();
    for flags in ["01", "00"] {
        let state = "vendor=a,other=b";
        let headers =
            format!("traceparent: 00-{TRACE}-00f067aa0ba902b7-{flags}\r\ntracestate: {state}\r\nbaggage: k=v\r\n");
        ask(&proxy, &headers);
        let (trace, span, told_flags) = told(&origin);
        assert_eq!((trace.as_str(), told_flags.as_str()), (TRACE, flags));
        assert_ne!(span, "00f067aa0ba902b7");
        assert_eq!(
            (origin.last().header("tracestate").as_str(), origin.last().header("baggage").as_str()),
            (state, "k=v")
        );
    }
    let log = proxy.wait_for_log(2);
    assert_eq!(
        (&log[0]["trace_id"], &log[0]["sampled"], &log[1]["sampled"]),
        (&TRACE.into(), &true.into(), &false.into())
    );
}

#[test]
fn bad_context_begins_a_new_trace() {
    let origin = origin().start();
    let proxy = proxy().origin(&origin).start();
    let zero = "0".repeat(32);
    let span = "00f067aa0ba902b7";
    for bad in [
        "".to_owned(),
        "nonsense".to_owned(),
        format!("00-{zero}-{span}-01"),
        format!("00-{TRACE}-0000000000000000-01"),
        format!("ff-{TRACE}-{span}-01"),
        format!("00-{TRACE}-{span}"),
        format!("00-{TRACE}-{span}-01-more"),
        format!("00-{}-{span}-01", TRACE.to_uppercase()),
        format!("00-{}-{span}-01", &TRACE[1..]),
        format!("00-{TRACE}-{span}-0g"),
        format!("0-{TRACE}-{span}-01"),
        "x".repeat(4_000),
    ] {
        ask(&proxy, &format!("traceparent: {bad}\r\ntracestate: vendor=a\r\n"));
        let (trace, ..) = told(&origin);
        assert_ne!(trace, TRACE, "{bad}");
        // The state belongs to the parent that was not believed.
        assert!(!origin.last().has("tracestate"), "{bad}");
    }
    ask(&proxy, &format!("traceparent: 00-{TRACE}-{span}-01\r\ntraceparent: 00-{TRACE}-{span}-00\r\n"));
    assert_ne!(told(&origin).0, TRACE);
}

#[test]
fn a_version_of_the_future_is_read_as_far_as_it_is_known() {
    let origin = origin().start();
    let proxy = proxy().origin(&origin).start();
    ask(&proxy, &format!("traceparent: cc-{TRACE}-00f067aa0ba902b7-01-what-the-future-brings\r\n"));
    assert_eq!(told(&origin).0, TRACE);
}

#[test]
fn b3_is_read_and_written() {
    let origin = origin().start();
    let proxy = proxy().origin(&origin).start();
    ask(&proxy, &format!("b3: {TRACE}-00f067aa0ba902b7-1\r\n"));
    let (trace, span, flags) = told(&origin);
    assert_eq!((trace.as_str(), flags.as_str()), (TRACE, "01"));
    assert!(origin.last().header("b3").starts_with(&format!("{TRACE}-{span}-1")), "{}", origin.last().header("b3"));
    let many = format!("x-b3-traceid: {TRACE}\r\nx-b3-spanid: 00f067aa0ba902b7\r\nx-b3-sampled: 0\r\n");
    ask(&proxy, &many);
    let (trace, span, flags) = told(&origin);
    assert_eq!((trace.as_str(), flags.as_str()), (TRACE, "00"));
    assert_eq!(origin.last().header("x-b3-spanid"), span);
    // Eight bytes are a trace too.
    ask(&proxy, "b3: a3ce929d0e0e4736-00f067aa0ba902b7-1\r\n");
    assert_eq!(told(&origin).0, "0000000000000000a3ce929d0e0e4736");
    ask(&proxy, "b3: nonsense\r\n");
    assert_ne!(told(&origin).0, TRACE);
    // W3C goes before B3.
    ask(
        &proxy,
        &format!(
            "b3: 80f198ee56343ba864fe8b2a57d3eff7-05e3ac9a4f6e3b90-1\r\ntraceparent: 00-{TRACE}-00f067aa0ba902b7-01\r\n"
        ),
    );
    assert_eq!(told(&origin).0, TRACE);
}

#[test]
fn who_does_not_follow_callers_decides_alone() {
    let origin = origin().start();
    let traces = "telemetry: { traces: { ratio: 0, parent_based: false, always: { errors: false } } }";
    let proxy = proxy().origin(&origin).config(traces).start();
    ask(&proxy, &format!("traceparent: 00-{TRACE}-00f067aa0ba902b7-01\r\n"));
    let (trace, _, flags) = told(&origin);
    assert_eq!((trace.as_str(), flags.as_str()), (TRACE, "00"));
    assert_eq!(proxy.wait_for_log(1)[0]["sampled"], false);
}
