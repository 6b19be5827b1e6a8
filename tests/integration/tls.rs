//! TLS at both ends: certificates by name, ALPN, upstreams that must be who they say.
//! It knows nothing of what is carried.

use tidegate_tests::{Authority, Connection, Identity, Proxy, get, origin, proxy, raw, websocket_over_tls};

fn listener(identities: &[&Identity]) -> String {
    let certificates: Vec<_> = identities
        .iter()
        .map(|identity| format!("{{ certificate: {:?}, key: {:?} }}", identity.certificate, identity.key))
        .collect();
    let certificates = certificates.join(", ");
    format!("listeners: [{{ name: web, address: \"127.0.0.1:0\", tls: {{ certificates: [{certificates}] }} }}]")
}

#[tokio::test]
async fn alpn_chooses_the_protocol() {
    let (authority, origin) = (Authority::new(), origin().start());
    let proxy = proxy().config(listener(&[&authority.identity(&["site.test"])])).origin(&origin).start();
    for (offered, http2) in [(&["h2", "http/1.1"][..], true), (&["http/1.1"], false), (&[], false)] {
        let mut client = Connection::tls(proxy.address(), "site.test", authority.client(offered)).await.unwrap();
        assert_eq!(client.is_http2(), http2, "{offered:?}");
        assert_eq!(client.get("/").await.status, 200);
        assert_eq!(origin.last().header("x-forwarded-proto"), "https");
    }
}

#[tokio::test]
async fn the_certificate_is_chosen_by_name() {
    let (authority, origin) = (Authority::new(), origin().start());
    let (first, second) = (authority.identity(&["first.test"]), authority.identity(&["*.second.test"]));
    let proxy = proxy().config(listener(&[&first, &second])).origin(&origin).start();
    for name in ["first.test", "a.second.test"] {
        let mut client = Connection::tls(proxy.address(), name, authority.client(&["h2"])).await.unwrap();
        assert_eq!(client.get("/").await.status, 200, "{name}");
    }
    // Any other name gets the first certificate, which the client then refuses.
    assert!(Connection::tls(proxy.address(), "other.test", authority.client(&["h2"])).await.is_err());
}

#[test]
fn cleartext_on_a_tls_port_is_refused_and_counted() {
    let (authority, origin) = (Authority::new(), origin().start());
    let proxy = proxy().config(listener(&[&authority.identity(&["site.test"])])).origin(&origin).start();
    let mut client = raw(proxy.address());
    client.send("GET / HTTP/1.1\r\nhost: a.test\r\n\r\n");
    let answer = client.to_end();
    assert!(!answer.starts_with(b"HTTP/"));
    proxy.wait_for_metric("tidegate_connections_rejected_total", &[("reason", "tls")], 1.0);
    assert_eq!(origin.count(), 0);
}

#[tokio::test]
async fn a_websocket_over_tls_on_both_sides() {
    let authority = Authority::new();
    let origin = origin().tls(&authority.identity(&["live.internal"])).start();
    let tls = format!("{{ server_name: live.internal, ca: {:?} }}", authority.file());
    let proxy = proxy()
        .config(listener(&[&authority.identity(&["site.test"])]))
        .config(upstream(&origin.address().to_string(), &tls, "http1"))
        .start();
    let client = authority.client(&["http/1.1"]);
    let mut socket = websocket_over_tls(proxy.address(), "site.test", client).await.unwrap();
    for message in ["a first", &"and a long one ".repeat(10_000)] {
        socket.send(message).await;
        assert_eq!(socket.next().await.unwrap(), message.as_bytes());
    }
    assert_eq!(socket.close(1000).await, Some(1000));
    assert_eq!(proxy.wait_for_log(1)[0]["status"], 101);
    assert_eq!(origin.last().header("x-forwarded-proto"), "https");
}

#[tokio::test]
async fn a_renewed_certificate_is_taken_up() {
    let (old, new, origin) = (Authority::new(), Authority::new(), origin().start());
    let identity = old.identity(&["site.test"]);
    let proxy = proxy().config(listener(&[&identity])).origin(&origin).start();
    let mut before = Connection::tls(proxy.address(), "site.test", old.client(&["h2"])).await.unwrap();
    let renewed = new.identity(&["site.test"]);
    std::fs::copy(&renewed.key, &identity.key).unwrap();
    std::fs::copy(&renewed.certificate, &identity.certificate).unwrap();
    proxy.wait_for_metric("tidegate_config_version", &[], 2.0);
    let mut after = Connection::tls(proxy.address(), "site.test", new.client(&["h2"])).await.unwrap();
    assert_eq!(after.get("/").await.status, 200);
    assert_eq!(before.get("/").await.status, 200, "who is connected stays so");
    assert!(Connection::tls(proxy.address(), "site.test", old.client(&["h2"])).await.is_err());
}

fn upstream(address: &str, tls: &str, protocol: &str) -> String {
    format!(
        "routes: [{{ name: app, upstream: app }}]\n\
         upstreams: {{ app: {{ endpoints: [\"{address}\"], protocol: {protocol}, tls: {tls} }} }}"
    )
}

#[tokio::test]
async fn upstreams_over_tls() {
    let authority = Authority::new();
    let identity = authority.identity(&["users.internal"]);
    for protocol in ["http1", "http2"] {
        let origin = origin().tls(&identity);
        let origin = if protocol == "http2" { origin.http2() } else { origin }.start();
        let tls = format!("{{ server_name: users.internal, ca: {:?} }}", authority.file());
        let proxy = proxy().config(upstream(&origin.address().to_string(), &tls, protocol)).start();
        let answer = get(proxy.address(), "/bytes/1000").await;
        assert_eq!((answer.status, answer.body.len()), (200, 1000), "{protocol}: {}", answer.reason());
    }
}

#[tokio::test]
async fn an_upstream_that_vouches_for_itself() {
    let authority = Authority::new();
    let itself = authority.self_signed("users.internal");
    let origin = origin().tls(&itself).start();
    let tls = |name: &str, ca| format!("{{ server_name: {name}, ca: {ca:?} }}");
    let config = upstream(&origin.address().to_string(), &tls("users.internal", &itself.certificate), "http1");
    assert_eq!(get(proxy().config(config).start().address(), "/").await.status, 200);
    let count = origin.count();
    for (name, ca) in [("other.internal", &itself.certificate), ("users.internal", &authority.file())] {
        let proxy = proxy().config(upstream(&origin.address().to_string(), &tls(name, ca), "http1")).start();
        assert_eq!(get(proxy.address(), "/").await.reason(), "tls_failed");
    }
    assert_eq!(origin.count(), count);
}

async fn refused(tls: String, origin: &tidegate_tests::Origin) -> Proxy {
    let proxy = proxy().config(upstream(&origin.address().to_string(), &tls, "http1")).start();
    let answer = get(proxy.address(), "/").await;
    assert_eq!((answer.status, answer.reason().as_str()), (502, "tls_failed"));
    assert_eq!(origin.count(), 0);
    proxy
}

#[tokio::test]
async fn an_upstream_that_is_not_who_it_says_is_refused() {
    let (authority, stranger) = (Authority::new(), Authority::new());
    let origin = origin().tls(&authority.identity(&["users.internal"])).start();
    let proxy = refused(format!("{{ server_name: other.internal, ca: {:?} }}", authority.file()), &origin).await;
    proxy.wait_for_metric("tidegate_errors_total", &[("reason", "tls_failed"), ("source", "upstream")], 1.0);
    refused(format!("{{ server_name: users.internal, ca: {:?} }}", stranger.file()), &origin).await;
    // Only whoever says so in as many words gets by without.
    let proxy = proxy_without_verification(&origin);
    assert_eq!(get(proxy.address(), "/").await.status, 200);
}

fn proxy_without_verification(origin: &tidegate_tests::Origin) -> Proxy {
    proxy().config(upstream(&origin.address().to_string(), "{ verify: false }", "http1")).start()
}

#[tokio::test]
async fn an_upstream_that_does_not_speak_tls_is_refused() {
    let (authority, origin) = (Authority::new(), origin().start());
    refused(format!("{{ server_name: users.internal, ca: {:?} }}", authority.file()), &origin).await;
}
