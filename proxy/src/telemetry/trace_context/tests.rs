//! The rules of W3C trace context, as its own test suite asks them.

use super::*;

const PARENT: &str = "00-12345678901234567890123456789012-1234567890123456-01";

fn headers(pairs: &[(&str, &str)]) -> HeaderMap {
    let mut map = HeaderMap::new();
    for (name, value) in pairs {
        map.append(name.parse::<HeaderName>().unwrap(), value.parse().unwrap());
    }
    map
}

fn caller(traceparent: &str) -> Option<Caller> {
    extract(&headers(&[("traceparent", traceparent)])).caller
}

fn state_of(states: &[&str]) -> Option<String> {
    let mut pairs = vec![("traceparent", PARENT)];
    pairs.extend(states.iter().map(|state| ("tracestate", *state)));
    let state = extract(&headers(&pairs)).caller.unwrap().state?;
    Some(state.to_str().unwrap().to_owned())
}

#[test]
fn a_valid_parent_is_taken_over() {
    for valid in [
        PARENT.to_owned(),
        format!("  {PARENT}\t"),
        PARENT.replace("00-", "cc-"),
        format!("{}-", PARENT.replace("00-", "cc-")),
        format!("{}-what-the-future-will-be-like", PARENT.replace("00-", "cc-")),
        PARENT.replace("-01", "-ff"),
    ] {
        let caller = caller(&valid).expect(&valid);
        assert_eq!(caller.trace_id, 0x1234_5678_9012_3456_7890_1234_5678_9012);
        assert_eq!(caller.span, SpanId(0x1234_5678_9012_3456));
        assert_eq!(extract(&headers(&[("traceparent", &valid)])).decision, Some(true));
    }
    assert_eq!(extract(&headers(&[("traceparent", &PARENT.replace("-01", "-fe"))])).decision, Some(false));
}

#[test]
fn bad_input_begins_a_new_trace() {
    let long = format!("00-{}-1234567890123456-01", "1".repeat(5000));
    for bad in [
        "",
        "00",
        "00-",
        "garbage",
        &long,
        &PARENT.replace("00-", "ff-"),
        &PARENT.replace("00-", "0-"),
        &PARENT.replace("00-", "000-"),
        &PARENT.replace("00-", ".0-"),
        &PARENT.replace("00-", "0.-"),
        &PARENT.replace("00-", "cC-"),
        &format!("{PARENT}-"),
        &format!("{PARENT}-what-the-future-will-be-like"),
        &format!("{PARENT}.what"),
        &format!("{}.what", PARENT.replace("00-", "cc-")),
        &PARENT[..54],
        "00-00000000000000000000000000000000-1234567890123456-01",
        "00-12345678901234567890123456789012-0000000000000000-01",
        "00-1234567890123456789012345678901A-1234567890123456-01",
        "00-1234567890123456789012345678901.-1234567890123456-01",
        "00-12345678901234567890123456789012-123456789012345X-01",
        "00-12345678901234567890123456789012-1234567890123456-.0",
        "00-12345678901234567890123456789012-1234567890123456-0.",
        "00-12345678901234567890123456789012-1234567890123456-1",
        "00-12345678901234567890123456789012-1234567890123456-001",
        "00_12345678901234567890123456789012_1234567890123456_01",
    ] {
        assert_eq!(extract(&headers(&[("traceparent", bad)])), Incoming::default(), "{bad}");
    }
    let bytes = HeaderValue::from_bytes(b"00-1234567890123456789012345678901\xff-1234567890123456-01").unwrap();
    assert_eq!(extract(&HeaderMap::from_iter([(TRACEPARENT, bytes)])), Incoming::default());
}

#[test]
fn two_parents_are_none() {
    assert_eq!(extract(&headers(&[("traceparent", PARENT), ("traceparent", PARENT)])).caller, None);
}

#[test]
fn a_state_without_a_parent_is_dropped() {
    assert_eq!(extract(&headers(&[("tracestate", "foo=1")])), Incoming::default());
}

#[test]
fn a_valid_state_is_handed_on() {
    let keys = format!("{}=1", "a".repeat(256));
    let tenant = format!("{}@{}=1", "t".repeat(241), "v".repeat(14));
    let value = format!("foo={}", "~".repeat(256));
    for state in [
        "foo=1",
        "foo=1,bar=2",
        "foo=1 \t , \t bar=2",
        "foo=1,",
        ",foo=1,,",
        "foo=1,foo=2",
        "0a@b=1",
        "a-_*/0=! #~",
        &keys,
        &tenant,
        &value,
    ] {
        assert_eq!(state_of(&[state]).as_deref(), Some(state.trim()), "{state}");
    }
    assert_eq!(state_of(&["foo=1", "bar=2", "rojo=3"]).as_deref(), Some("foo=1,bar=2,rojo=3"));
    let members = |count| (0..count).map(|n| format!("k{n}=1")).collect::<Vec<_>>().join(",");
    assert_eq!(state_of(&[&members(32)]), Some(members(32)));
    assert_eq!(state_of(&[&members(33)]), None);
    assert_eq!(state_of(&[&members(20), &members(13)]), None);
}

#[test]
fn a_bad_state_is_dropped_and_the_parent_stands() {
    let keys = format!("{}=1", "a".repeat(257));
    let tenant = format!("{}@v=1", "t".repeat(242));
    let vendor = format!("t@{}=1", "v".repeat(15));
    let value = format!("foo={}", "~".repeat(257));
    for state in [
        "",
        "foo",
        "foo=",
        "=1",
        "Foo=1",
        "foo =1",
        "foo=1=2",
        "foo@=1",
        "@foo=1",
        "foo@@bar=1",
        "foo@bar@baz=1",
        "a@0b=1",
        "foo.bar=1",
        "foo=1,bar",
        &keys,
        &tenant,
        &vendor,
        &value,
    ] {
        assert_eq!(state_of(&[state]), None, "{state}");
    }
    assert_eq!(state_of(&["foo=1", "bar"]), None);
}

#[test]
fn an_upstream_sees_the_trace_with_a_new_parent() {
    let incoming = headers(&[("traceparent", PARENT), ("tracestate", "foo=1"), ("baggage", "user=7;p=1, b=%20")]);
    let caller = extract(&incoming).caller.unwrap();
    let context = TraceContext {
        trace_id: caller.trace_id,
        span: SpanId(1),
        parent: Some(caller.span),
        sampled: false,
        random: true,
        state: caller.state,
        b3: None,
    };
    let mut out = incoming.clone();
    inject(&context, SpanId(0xab), &mut out);
    assert_eq!(out["traceparent"], "00-12345678901234567890123456789012-00000000000000ab-02");
    assert_eq!((&out["tracestate"], &out["baggage"]), (&incoming["tracestate"], &incoming["baggage"]));
    assert_eq!(out.len(), 3);

    inject(&TraceContext { state: None, sampled: true, ..context }, SpanId(0xab), &mut out);
    assert_eq!(out["traceparent"], "00-12345678901234567890123456789012-00000000000000ab-03");
    assert!(!out.contains_key("tracestate"));
}
