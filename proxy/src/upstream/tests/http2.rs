//! Over HTTP/2 and TLS: sharing a connection, leaving one, and whom we believe.
//! It knows nothing of how connections are kept.

use std::convert::Infallible;
use std::path::PathBuf;

use http::Response;
use hyper::body::Incoming;
use hyper::server::conn::http2;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::sync::Notify;
use tokio_rustls::TlsAcceptor;

use super::origin::{Origin, Peer};
use super::*;
use crate::upstream::config::Tls;
use crate::wire::local_exec::LocalExec;

/// Answers with what it was asked for; `/wait` waits for `go`.
async fn answer(request: Request<Incoming>, go: Rc<Notify>) -> Result<Response<Body>, Infallible> {
    if request.uri().path() == "/wait" {
        go.notified().await;
    }
    if request.uri().path() == "/body" {
        let _ = request.into_body().collect().await;
        return std::future::pending().await;
    }
    let text = format!("{} {}", request.uri(), request.headers().contains_key("host"));
    Ok(Response::new(Body::full(text)))
}

async fn serve(stream: impl AsyncRead + AsyncWrite + Unpin + 'static, streams: u32, go: Rc<Notify>) {
    let service = service_fn(move |request| answer(request, Rc::clone(&go)));
    let connection =
        http2::Builder::new(LocalExec).max_concurrent_streams(streams).serve_connection(TokioIo::new(stream), service);
    let _ = connection.await;
}

pub(super) async fn origin(streams: u32, go: &Rc<Notify>) -> Origin {
    let go = Rc::clone(go);
    Origin::new(move |_, peer: Peer| serve(peer.into_stream(), streams, Rc::clone(&go))).await
}

fn http2(origin: &Origin) -> Upstream {
    Upstream { protocol: Protocol::Http2, ..upstream(&[origin]) }
}

#[test]
fn requests_share_a_connection_and_say_whom_they_mean() {
    run(async {
        let go = Rc::new(Notify::new());
        let origin = origin(100, &go).await;
        let bench = Bench::new();
        let client = bench.client(&http2(&origin));
        let waiting = fetch(&client, get("/wait"));
        let others = async {
            let together = tokio::join!(fetch(&client, get("/a?b")), fetch(&client, get("/c")));
            go.notify_one();
            together
        };
        let (waited, (one, two)) = tokio::join!(waiting, others);
        assert_eq!(waited.unwrap().1, "http://users.internal/wait false");
        assert_eq!(one.unwrap().1, "http://users.internal/a?b false");
        assert!(two.unwrap().2);
        assert_eq!(origin.connections(), 1);
    });
}

#[test]
fn a_connection_that_is_full_gets_another_beside_it() {
    run(async {
        let go = Rc::new(Notify::new());
        let origin = origin(1, &go).await;
        let bench = Bench::new();
        let client = bench.client(&http2(&origin));
        // The upstream's limit is read with the first request after its settings came.
        for _ in 0..2 {
            fetch(&client, get("/")).await.unwrap();
        }
        let others = async {
            let answer = fetch(&client, get("/a")).await;
            go.notify_one();
            answer
        };
        let (waited, other) = tokio::join!(fetch(&client, get("/wait")), others);
        assert_eq!((waited.unwrap().2, other.unwrap().2), (true, false));
        assert_eq!(origin.connections(), 2);
    });
}

#[test]
fn a_connection_that_says_goodbye_is_left() {
    run(async {
        let go = Rc::new(Notify::new());
        let origin = Origin::new(move |number, peer: Peer| {
            let go = Rc::clone(&go);
            async move {
                if number > 0 {
                    return serve(peer.into_stream(), 100, go).await;
                }
                let service = service_fn(move |request| answer(request, Rc::clone(&go)));
                let connection =
                    http2::Builder::new(LocalExec).serve_connection(TokioIo::new(peer.into_stream()), service);
                let mut connection = std::pin::pin!(connection);
                connection.as_mut().graceful_shutdown();
                let _ = connection.await;
            }
        })
        .await;
        let bench = Bench::new();
        let client = bench.client(&http2(&origin));
        for _ in 0..5 {
            match send_safely(&client, get("/")).await {
                Ok(answer) => _ = read(answer).await,
                Err(error) => assert_eq!(error.reason, Reason::UpstreamClosed),
            }
        }
        assert_eq!(origin.connections(), 2);
    });
}

#[test]
fn a_service_that_does_not_speak_http2_breaks_the_protocol() {
    run(async {
        let origin = Origin::new(|_, mut peer: Peer| async move {
            peer.write("HTTP/1.1 400 Bad Request\r\ncontent-length: 0\r\n\r\n").await;
            peer.closed().await;
        })
        .await;
        let bench = Bench::new();
        assert_eq!(refused(&bench.client(&http2(&origin)), get("/")).await.0, Reason::UpstreamProtocol);
    });
}

/// A TLS service for `users.internal` that answers HTTP/1.1 or HTTP/2 as ALPN says, and the file with its certificate.
async fn secure(protocols: &[&str]) -> (Origin, PathBuf) {
    let key = rcgen::generate_simple_self_signed(["users.internal".to_owned()]).unwrap();
    let path = std::env::temp_dir().join(format!(
        "tidegate-upstream-{}-{:?}.pem",
        std::process::id(),
        std::thread::current().id()
    ));
    std::fs::write(&path, key.cert.pem()).unwrap();
    let private = rustls_pki_types::PrivatePkcs8KeyDer::from(key.signing_key.serialize_der());
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let mut config = rustls::ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(vec![key.cert.der().clone()], private.into())
        .unwrap();
    config.alpn_protocols = protocols.iter().map(|protocol| protocol.as_bytes().to_vec()).collect();
    let acceptor = TlsAcceptor::from(Arc::new(config));
    let origin = Origin::new(move |_, peer: Peer| {
        let acceptor = acceptor.clone();
        async move {
            let Ok(mut stream) = acceptor.accept(peer.into_stream()).await else { return };
            if stream.get_ref().1.alpn_protocol() == Some(b"h2") {
                return serve(stream, 100, Rc::default()).await;
            }
            let mut head = [0; 4096];
            while stream.read(&mut head).await.unwrap_or(0) > 0 {
                let _ = stream.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 4\r\n\r\nsafe").await;
            }
        }
    })
    .await;
    (origin, path)
}

#[test]
fn tls_is_spoken_with_whom_we_trust() {
    run(async {
        let (origin, ca) = secure(&["h2", "http/1.1"]).await;
        let bench = Bench::new();
        let tls = |name: &str, ca: Option<&PathBuf>, verify| {
            let tls = Tls { server_name: Some(name.into()), ca: ca.cloned(), verify };
            Upstream { tls: Some(tls), ..upstream(&[&origin]) }
        };
        let trusted = bench.client(&tls("users.internal", Some(&ca), true));
        assert_eq!(fetch(&trusted, get("/")).await.unwrap(), (200, "safe".into(), false));
        assert_eq!(fetch(&trusted, get("/")).await.unwrap(), (200, "safe".into(), true));
        let other_name = bench.client(&tls("other.internal", Some(&ca), true));
        assert_eq!(refused(&other_name, get("/")).await.0, Reason::TlsFailed);
        let unverified = bench.client(&tls("other.internal", None, false));
        assert!(
            !fetch(&unverified, get("/")).await.unwrap().2,
            "a connection that was verified is not shared with this"
        );
        let http2 = Upstream { protocol: Protocol::Http2, ..tls("users.internal", Some(&ca), true) };
        assert_eq!(fetch(&bench.client(&http2), get("/")).await.unwrap().1, "https://users.internal/ false");
        std::fs::remove_file(ca).unwrap();
    });
}

#[test]
fn a_service_without_http2_is_not_asked_for_it_over_tls() {
    run(async {
        let (origin, ca) = secure(&[]).await;
        let tls = Tls { server_name: Some("users.internal".into()), ca: Some(ca.clone()), verify: true };
        let config = Upstream { protocol: Protocol::Http2, tls: Some(tls), ..upstream(&[&origin]) };
        let bench = Bench::new();
        assert_eq!(refused(&bench.client(&config), get("/")).await.0, Reason::TlsFailed);
        std::fs::remove_file(ca).unwrap();
    });
}

#[test]
fn a_service_that_is_silent_while_we_connect_times_out() {
    run(async {
        let origin = Origin::new(|_, mut peer: Peer| async move { peer.closed().await }).await;
        let mut config = upstream(&[&origin]);
        config.tls = Some(Tls { server_name: None, ca: None, verify: false });
        config.timeouts.connect = Duration::from_millis(1);
        let bench = Bench::new();
        assert_eq!(refused(&bench.client(&config), get("/")).await.0, Reason::ConnectTimeout);
    });
}

#[test]
fn authorities_that_cannot_be_used_are_an_error() {
    let bench = Bench::new();
    let file = |name: &str, text: &str| {
        let path = std::env::temp_dir().join(format!("tidegate-upstream-{}-{name}.pem", std::process::id()));
        std::fs::write(&path, text).unwrap();
        path
    };
    let (empty, garbage) =
        (file("empty", ""), file("garbage", "-----BEGIN CERTIFICATE-----\nMAA=\n-----END CERTIFICATE-----\n"));
    for (ca, server_name, words) in [
        (PathBuf::from("/no/such/file.pem"), None, "cannot read the authorities"),
        (empty.clone(), None, "no certificate in"),
        (garbage.clone(), None, "a certificate in"),
    ] {
        let mut config = upstream(&[]);
        config.endpoints = vec![endpoint("127.0.0.1", 1)];
        config.tls = Some(Tls { server_name, ca: Some(ca), verify: true });
        let error = Cluster::new(&config, None, &bench.registry, &bench.catalogue).unwrap_err();
        assert!(error.to_string().starts_with(words), "{error}");
    }
    for path in [empty, garbage] {
        std::fs::remove_file(path).unwrap();
    }
}
