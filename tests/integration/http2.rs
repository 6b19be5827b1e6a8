//! HTTP/2 with clients: in clear with prior knowledge, streams side by side, resets.
//! The protocol's own rules are h2spec's part, in `.ci/run`.

use tidegate_tests::{Answer, Body, Connection, eventually, origin, proxy, request};

#[tokio::test]
async fn prior_knowledge_on_the_same_port() {
    let origin = origin().start();
    let proxy = proxy().origin(&origin).start();
    let mut client = Connection::http2(proxy.address()).await;
    let answer = client.get("/a?b").await;
    assert_eq!((answer.status, answer.version), (200, http::Version::HTTP_2));
    assert_eq!(answer.json()["path"], "/a?b");
    assert_eq!(origin.last().version, http::Version::HTTP_11);
    assert_eq!(origin.last().host, proxy.address().to_string());
    assert_eq!(proxy.wait_for_log(1)[0]["protocol"], "HTTP/2");
}

#[tokio::test]
async fn streams_do_not_wait_for_each_other() {
    let origin = origin().start();
    let proxy = proxy().origin(&origin).start();
    let mut client = Connection::http2(proxy.address()).await;
    let mut beside = client.beside();
    let hanging =
        tokio::spawn(async move { beside.begin(request("GET", "/hang").body(Body::empty()).unwrap()).await.is_ok() });
    while origin.count() == 0 {
        tokio::task::yield_now().await;
    }
    for number in 0..10 {
        assert_eq!(client.get(&format!("/status/{}", 400 + number)).await.status, 400 + number);
    }
    assert!(!hanging.is_finished());
}

#[tokio::test]
async fn a_stream_that_is_reset_frees_the_upstream() {
    let origin = origin().start();
    let proxy = proxy().origin(&origin).start();
    let mut client = Connection::http2(proxy.address()).await;
    let response = client.begin(request("GET", "/stall").body(Body::empty()).unwrap()).await.unwrap();
    assert_eq!(response.status(), 200);
    drop(response);
    // Also gives the client its turn to send the reset.
    assert_eq!(client.get("/").await.status, 200);
    let log = proxy.wait_for_log(2);
    assert!(log.iter().any(|line| line["error"]["reason"] == "client_closed"), "{log:#?}");
}

#[tokio::test]
async fn http2_upstreams_in_clear() {
    let origin = origin().http2().start();
    let upstream = format!("upstreams: {{ app: {{ endpoints: [\"{}\"], protocol: http2 }} }}", origin.address());
    let proxy = proxy().config("routes: [{ upstream: app }]").config(upstream).start();
    for http2 in [false, true] {
        let mut client = match http2 {
            true => Connection::http2(proxy.address()).await,
            false => Connection::http1(proxy.address()).await,
        };
        let answer =
            client.send(request("POST", "/echo").header("host", "shop.test").body("to http2".into()).unwrap()).await;
        assert_eq!((answer.status, answer.text().as_str()), (200, "to http2"));
        let seen = origin.last();
        assert_eq!((seen.version, seen.host.as_str()), (http::Version::HTTP_2, "shop.test"));
        assert!(!seen.has("connection") && !seen.has("transfer-encoding"));
    }
}

#[tokio::test]
async fn one_connection_to_an_http2_upstream_carries_many() {
    let origin = origin().http2().start();
    let upstream = format!("upstreams: {{ app: {{ endpoints: [\"{}\"], protocol: http2 }} }}", origin.address());
    let proxy = proxy().config("workers: 1\nroutes: [{ upstream: app }]").config(upstream).start();
    let mut clients = Vec::new();
    for _ in 0..8 {
        let address = proxy.address();
        clients.push(tokio::spawn(async move { Connection::http1(address).await.get("/slow/100").await.status }));
    }
    for client in clients {
        assert_eq!(client.await.unwrap(), 200);
    }
    assert_eq!(origin.count(), 8);
    assert!(origin.connections() <= 2, "{} connections", origin.connections());
}

#[tokio::test]
async fn rapid_reset_is_closed_by_us() {
    let origin = origin().start();
    let proxy = proxy().origin(&origin).start();
    let mut client = Connection::http2(proxy.address()).await;
    for _ in 0..20_000 {
        if client.is_closed() {
            break;
        }
        let stream = client.begin(request("GET", "/hang").body(Body::empty()).unwrap());
        tokio::pin!(stream);
        tokio::select! { biased; _ = &mut stream => {}, () = tokio::task::yield_now() => {} }
    }
    eventually("what was begun has ended", || proxy.scrape().value("http_server_active_requests", &[]) == 0.0);
    let bystander = Connection::http2(proxy.address()).await.get("/").await;
    assert_eq!(bystander.status, 200);
}

#[tokio::test]
async fn cookies_in_pieces_are_one_upstream() {
    let origin = origin().start();
    let proxy = proxy().origin(&origin).start();
    let mut client = Connection::http2(proxy.address()).await;
    let split = request("GET", "/").header("cookie", "a=1").header("cookie", "b=2").body(Body::empty()).unwrap();
    assert_eq!(client.send(split).await.status, 200);
    let cookies: Vec<_> =
        origin.last().headers.get_all("cookie").iter().map(|c| c.to_str().unwrap().to_owned()).collect();
    assert_eq!(cookies, ["a=1; b=2"]);
}

#[tokio::test]
async fn a_cut_upstream_resets_the_stream_and_not_the_connection() {
    let origin = origin().start();
    let proxy = proxy().origin(&origin).start();
    let mut client = Connection::http2(proxy.address()).await;
    let response = client.begin(request("GET", "/cut").body(Body::empty()).unwrap()).await.unwrap();
    assert!(Answer::read(response).await.is_err());
    assert_eq!(client.get("/").await.status, 200);
}

#[tokio::test]
async fn trailers_and_head_requests_pass_an_http2_upstream() {
    let origin = origin().http2().start();
    let upstream = format!("upstreams: {{ app: {{ endpoints: [\"{}\"], protocol: http2 }} }}", origin.address());
    let proxy = proxy().config("routes: [{ upstream: app }]").config(upstream).start();
    for http2 in [false, true] {
        let mut client = match http2 {
            true => Connection::http2(proxy.address()).await,
            false => Connection::http1(proxy.address()).await,
        };
        let asked = request("GET", "/trailers").header("te", "trailers").body(Body::empty()).unwrap();
        assert_eq!(client.send(asked).await.trailers.unwrap()["x-checksum"], "abc", "http2: {http2}");
        let (feed, body) = Body::fed(2);
        feed.send("with trailers").await;
        feed.trailers(http::HeaderMap::from_iter([("x-sum".parse().unwrap(), "42".parse().unwrap())])).await;
        drop(feed);
        let sent = request("POST", "/").header("trailer", "x-sum").body(body).unwrap();
        assert_eq!(client.send(sent).await.status, 200);
        assert_eq!(origin.last().trailers.unwrap()["x-sum"], "42", "http2: {http2}");
        let head = client.send(request("HEAD", "/bytes/1000").body(Body::empty()).unwrap()).await;
        assert_eq!((head.status, head.header("content-length"), head.body.len()), (200, "1000", 0), "http2: {http2}");
        assert_eq!(client.get("/bytes/3").await.text(), "xxx");
    }
}
