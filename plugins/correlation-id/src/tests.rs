//! What someone who configures the plugin would notice.

use tidegate_sdk::prelude::*;
use tidegate_sdk::test::TestExchange;

use crate::CorrelationId;

fn host(config: serde_json::Value) -> TestHost {
    TestHost::configure::<CorrelationId>(config).unwrap()
}

/// An exchange with an id of the client's, from this peer.
fn from(host: &mut TestHost, peer: &str) -> TestExchange {
    host.exchange().peer(peer).header("x-request-id", "from-client").respond(200)
}

#[test]
fn an_exchange_without_an_id_gets_one() {
    let mut host = host(json!({}));
    let exchange = host.exchange().get("/").respond(200);
    assert_eq!(exchange.correlation_header(), "x-request-id");
    assert_eq!(exchange.correlation_id().len(), 36);
    assert!(
        exchange.correlation_id().starts_with("019b7ca9-8c88-7"),
        "by the exchange's time: {}",
        exchange.correlation_id()
    );
    assert_eq!(host.counter("correlation_id.ids", [("origin", "created")]), 1);
}

#[test]
fn internal_peers_are_trusted_and_others_are_not() {
    let mut host = host(json!({ "trust": ["internal"] }));
    for peer in ["10.1.2.3:1", "127.0.0.1:1", "192.168.0.9:1", "[::1]:1", "[fd00::1]:1", "[::ffff:10.0.0.1]:1"] {
        assert_eq!(from(&mut host, peer).correlation_id(), "from-client", "{peer}");
    }
    for peer in ["203.0.113.9:1", "[2001:db8::1]:1"] {
        assert_ne!(from(&mut host, peer).correlation_id(), "from-client", "{peer}");
    }
    let behind_a_proxy = host.exchange().trusted_peer().header("x-request-id", "from-client").respond(200);
    assert_eq!(behind_a_proxy.correlation_id(), "from-client");
    assert_eq!(host.counter("correlation_id.ids", [("origin", "received")]), 7);
    assert_eq!(host.counter("correlation_id.ids", [("origin", "replaced")]), 2);
}

#[test]
fn trust_can_be_all_none_or_networks() {
    let mut any = host(json!({ "trust": "any" }));
    assert_eq!(from(&mut any, "203.0.113.9:1").correlation_id(), "from-client");
    let mut none = host(json!({ "trust": "none" }));
    assert_ne!(from(&mut none, "127.0.0.1:1").correlation_id(), "from-client");
    let mut networks = host(json!({ "trust": ["203.0.113.0/24", "2001:db8::/32", "198.51.100.7"] }));
    for peer in ["203.0.113.9:1", "[2001:db8:1::1]:1", "198.51.100.7:1"] {
        assert_eq!(from(&mut networks, peer).correlation_id(), "from-client", "{peer}");
    }
    for peer in ["203.0.114.9:1", "[2001:db9::1]:1", "198.51.100.8:1", "10.0.0.1:1"] {
        assert_ne!(from(&mut networks, peer).correlation_id(), "from-client", "{peer}");
    }
    let mut everywhere = host(json!({ "trust": ["0.0.0.0/0"] }));
    assert_eq!(from(&mut everywhere, "203.0.113.9:1").correlation_id(), "from-client");
}

#[test]
fn an_invalid_id_is_replaced_even_from_those_we_trust() {
    let mut host = host(json!({ "trust": "any" }));
    for id in [&b"a b"[..], b"\xff\xfe", b"\"", &[b'a'; 129]] {
        let exchange = host.exchange().header("x-request-id", id).respond(200);
        assert_eq!(exchange.correlation_id().len(), 36, "{id:?}");
    }
    assert_eq!(host.counter("correlation_id.ids", [("origin", "replaced")]), 4);
}

#[test]
fn other_headers_are_accepted_and_get_the_same_id() {
    let mut host = host(json!({ "header": "x-id", "trust": "any", "accept": ["x-correlation-id", "x-amzn-trace-id"] }));
    let exchange = host.exchange().header("X-Correlation-Id", "theirs").respond(200);
    assert_eq!((exchange.correlation_header(), exchange.correlation_id()), ("x-id", "theirs"));
    let both = host.exchange().header("x-id", "ours").header("x-correlation-id", "theirs").respond(200);
    assert_eq!(both.correlation_id(), "ours");
    assert_eq!(both.request_header("x-correlation-id"), "ours");
    assert!(both.request_header("x-amzn-trace-id").is_absent());
}

#[test]
fn log_and_span_get_the_id_where_they_are_told_to() {
    let mut plain = host(json!({ "format": "hex" }));
    assert!(plain.exchange().respond(200).log_field("request.id").is_absent());
    let mut told = host(json!({ "format": "ulid", "log_field": "request.id", "span_attribute": "app.request_id" }));
    let exchange = told.exchange().respond(200);
    assert_eq!(exchange.log_field("request.id"), exchange.correlation_id());
    assert_eq!(exchange.span().attribute("app.request_id"), exchange.correlation_id());
}

#[test]
fn a_wrong_configuration_is_refused_by_the_key() {
    let refused = |config| TestHost::configure::<CorrelationId>(config).unwrap_err().to_string();
    assert_eq!(refused(json!({ "header": "x id" })), "config.header: `x id` is no name of a header");
    assert_eq!(refused(json!({ "accept": [""] })), "config.accept: `` is no name of a header");
    assert!(
        refused(json!({ "format": "uuid" }))
            .starts_with("config.format: unknown variant `uuid`, expected one of `uuid_v7`")
    );
    assert!(
        refused(json!({ "trust": ["10.0.0.0/33"] }))
            .starts_with("config.trust[0]: `10.0.0.0/33` is none of `internal`")
    );
    assert!(refused(json!({ "haeder": "x" })).contains("unknown field `haeder`, expected one of `header`"));
}
