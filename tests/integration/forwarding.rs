//! What an origin learns of the client: `Via`, `X-Forwarded-*`, `Forwarded`, and whom the proxy believes.
//! It knows nothing of routes.

use tidegate_tests::{Connection, Proxy, origin, proxy, raw, request};

fn ask(proxy: &Proxy, headers: &str) -> u16 {
    raw(proxy.address()).send(format!("GET / HTTP/1.1\r\nhost: shop.test:8080\r\n{headers}\r\n")).response().status()
}

#[test]
fn an_origin_learns_who_asked_for_what() {
    let origin = origin().start();
    let proxy = proxy().origin(&origin).start();
    assert_eq!(ask(&proxy, ""), 200);
    let seen = origin.last();
    assert_eq!(seen.host, "shop.test:8080");
    assert_eq!(seen.header("x-forwarded-for"), "127.0.0.1");
    assert_eq!(seen.header("x-forwarded-proto"), "http");
    assert_eq!(seen.header("x-forwarded-host"), "shop.test:8080");
    assert_eq!(seen.header("via"), "1.1 tidegate");
    let forwarded = seen.header("forwarded");
    assert!(forwarded.contains("for=127.0.0.1") && forwarded.contains("proto=http"), "{forwarded}");
    assert!(forwarded.contains("host=\"shop.test:8080\""), "{forwarded}");
}

#[test]
fn a_stranger_is_not_believed() {
    let origin = origin().start();
    let proxy = proxy().origin(&origin).start();
    let forged = "x-forwarded-for: 6.6.6.6\r\nx-forwarded-proto: https\r\nx-forwarded-host: evil.test\r\nforwarded: for=6.6.6.6\r\n\
                  x-real-ip: 6.6.6.6\r\nx-forwarded-port: 1\r\nx-forwarded-prefix: /evil\r\nx-forwarded-ssl: on\r\n\
                  connection: x-forwarded-for, forwarded, via\r\n";
    assert_eq!(ask(&proxy, forged), 200);
    let seen = origin.last();
    for gone in ["x-real-ip", "x-forwarded-prefix", "x-forwarded-ssl"] {
        assert!(!seen.has(gone), "{gone}");
    }
    assert_eq!(seen.header("x-forwarded-port"), proxy.address().port().to_string());
    assert_eq!(seen.header("via"), "1.1 tidegate");
    assert_eq!(seen.header("x-forwarded-for"), "127.0.0.1");
    assert_eq!(seen.header("x-forwarded-proto"), "http");
    assert!(!seen.header("forwarded").contains("6.6.6.6") && !seen.header("x-forwarded-host").contains("evil"));
    assert_eq!(proxy.wait_for_log(1)[0]["client_address"], "127.0.0.1");
    proxy.wait_for_metric("http_server_request_duration_seconds_count", &[("url_scheme", "http")], 1.0);
}

#[test]
fn a_trusted_proxy_is_believed() {
    let origin = origin().start();
    let listeners =
        "listeners: [{ name: web, address: \"127.0.0.1:0\", trusted_proxies: [\"127.0.0.0/8\", \"10.0.0.0/8\"] }]";
    let proxy = proxy().config(listeners).origin(&origin).start();
    // The client is the last address that is not one of the trusted: what stands before can be forged.
    assert_eq!(ask(&proxy, "x-forwarded-for: 6.6.6.6, 203.0.113.9, 10.1.1.1\r\nx-forwarded-proto: https\r\n"), 200);
    let seen = origin.last();
    assert!(
        seen.header("x-forwarded-for").ends_with("203.0.113.9, 10.1.1.1, 127.0.0.1"),
        "{}",
        seen.header("x-forwarded-for")
    );
    assert_eq!(seen.header("x-forwarded-proto"), "https");
    assert_eq!(proxy.wait_for_log(1)[0]["client_address"], "203.0.113.9");
    proxy.wait_for_metric("http_server_request_duration_seconds_count", &[("url_scheme", "https")], 1.0);
}

#[test]
fn forwarded_of_a_trusted_proxy_is_read_too() {
    let origin = origin().start();
    let listeners = "listeners: [{ name: web, address: \"127.0.0.1:0\", trusted_proxies: [127.0.0.1] }]";
    let proxy = proxy().config(listeners).origin(&origin).start();
    assert_eq!(ask(&proxy, "forwarded: for=\"[2001:db8::7]:4711\";proto=https\r\n"), 200);
    assert_eq!(proxy.wait_for_log(1)[0]["client_address"], "2001:db8::7");
    // What cannot be read is not guessed at.
    for nonsense in ["for=unknown", "for=_hidden", "for=999.1.1.1", "for", ";;;", "for=\"1.2.3.4"] {
        assert_eq!(ask(&proxy, &format!("forwarded: {nonsense}\r\n")), 200, "{nonsense}");
    }
    let log = proxy.wait_for_log(7);
    assert!(log.iter().skip(1).all(|line| line["client_address"] == "127.0.0.1"), "{log:#?}");
}

#[tokio::test]
async fn via_grows_and_names_the_protocol() {
    let origin = origin().start();
    let proxy = proxy().origin(&origin).start();
    let mut client = Connection::http2(proxy.address()).await;
    let sent = request("GET", "/").header("via", "1.0 other").body(tidegate_tests::Body::empty()).unwrap();
    assert_eq!(client.send(sent).await.status, 200);
    assert_eq!(origin.last().header("via"), "1.0 other, 2.0 tidegate");
}
