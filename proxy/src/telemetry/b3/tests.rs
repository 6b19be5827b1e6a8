//! What Zipkin's specification says of both forms.

use super::*;
use crate::telemetry::trace_context::{self, Incoming};

const TRACE: &str = "80f198ee56343ba864fe8b2a57d3eff7";
const SPAN: &str = "e457b5a2e4d86bd1";

fn headers(pairs: &[(&str, &str)]) -> HeaderMap {
    let mut map = HeaderMap::new();
    for (name, value) in pairs {
        map.append(name.parse::<HeaderName>().unwrap(), value.parse().unwrap());
    }
    map
}

fn incoming(pairs: &[(&str, &str)]) -> Incoming {
    trace_context::extract(&headers(pairs))
}

fn ids(incoming: &Incoming) -> Option<(u128, u64)> {
    incoming.caller.as_ref().map(|caller| (caller.trace_id, caller.span.0))
}

const IDS: Option<(u128, u64)> = Some((0x80f1_98ee_5634_3ba8_64fe_8b2a_57d3_eff7, 0xe457_b5a2_e4d8_6bd1));

#[test]
fn the_single_header_is_read() {
    for (text, expected, decision) in [
        (format!("{TRACE}-{SPAN}-1-05e3ac9a4f6e3b90"), IDS, Some(true)),
        (format!("{TRACE}-{SPAN}-0"), IDS, Some(false)),
        (format!("{TRACE}-{SPAN}-d"), IDS, Some(true)),
        (format!("{TRACE}-{SPAN}"), IDS, None),
        (format!("64fe8b2a57d3eff7-{SPAN}-1"), Some((0x64fe_8b2a_57d3_eff7, 0xe457_b5a2_e4d8_6bd1)), Some(true)),
        ("0".to_owned(), None, Some(false)),
        ("1".to_owned(), None, Some(true)),
    ] {
        let read = incoming(&[("b3", &text)]);
        assert_eq!((ids(&read), read.decision), (expected, decision), "{text}");
    }
}

#[test]
fn a_bad_header_begins_a_new_trace() {
    for text in
        ["", "x", "-", "--", "2", &TRACE[..31], &format!("{TRACE}-{SPAN}-x"), &format!("{TRACE}-{}-1", &SPAN[1..])]
    {
        let read = incoming(&[("b3", text)]);
        assert_eq!((ids(&read), read.decision), (None, None), "{text}");
    }
    let zero = "0".repeat(32);
    assert_eq!(ids(&incoming(&[("b3", &format!("{zero}-{SPAN}-1"))])), None);
    assert_eq!(ids(&incoming(&[("x-b3-traceid", TRACE)])), None);
    assert_eq!(ids(&incoming(&[("x-b3-traceid", "no"), ("x-b3-spanid", SPAN)])), None);
}

#[test]
fn several_headers_are_read() {
    let both = [("x-b3-traceid", TRACE), ("x-b3-spanid", SPAN)];
    for (more, decision) in [
        (None, None),
        (Some(("x-b3-sampled", "1")), Some(true)),
        (Some(("x-b3-sampled", "0")), Some(false)),
        (Some(("x-b3-flags", "1")), Some(true)),
    ] {
        let pairs: Vec<_> = both.into_iter().chain(more).collect();
        let read = incoming(&pairs);
        assert_eq!((ids(&read), read.decision), (IDS, decision), "{pairs:?}");
    }
    assert_eq!(incoming(&[("x-b3-sampled", "0")]).decision, Some(false));
}

#[test]
fn w3c_wins_and_b3_is_written_as_it_came() {
    let parent = "00-12345678901234567890123456789012-1234567890123456-01";
    let single = format!("{TRACE}-{SPAN}-0");
    for (pairs, names) in [
        (vec![("b3", single.as_str())], vec!["b3"]),
        (
            vec![("x-b3-traceid", TRACE), ("x-b3-spanid", SPAN), ("x-b3-sampled", "0")],
            vec!["x-b3-traceid", "x-b3-spanid", "x-b3-sampled"],
        ),
    ] {
        let mut map = headers(&pairs);
        map.insert("traceparent", parent.parse().unwrap());
        let read = trace_context::extract(&map);
        let caller = read.caller.unwrap();
        assert_eq!((caller.trace_id, read.decision), (0x1234_5678_9012_3456_7890_1234_5678_9012, Some(true)));
        let context = TraceContext {
            trace_id: caller.trace_id,
            span: SpanId(2),
            parent: Some(caller.span),
            sampled: true,
            random: false,
            state: None,
            b3: read.b3,
        };
        trace_context::inject(&context, SpanId(1), &mut map);
        assert_eq!(map["traceparent"], "00-12345678901234567890123456789012-0000000000000001-01");
        let written: Vec<_> = names.iter().map(|name| map[*name].to_str().unwrap()).collect();
        let expected = if names.len() == 1 {
            vec!["12345678901234567890123456789012-0000000000000001-1-0000000000000002"]
        } else {
            vec!["12345678901234567890123456789012", "0000000000000001", "1"]
        };
        assert_eq!(written, expected);
    }
}
