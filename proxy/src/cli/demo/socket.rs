//! HTTP/1.1 on loopback, both sides of it, for the parts of the demo around the proxy.
//! It does not know what is asked or answered.

use std::convert::Infallible;
use std::future::Future;
use std::io;
use std::net::{Ipv4Addr, SocketAddr};
use std::rc::Rc;
use std::time::Duration;

use bytes::Bytes;
use http::{Request, Response};
use http_body_util::Full;
use hyper::body::Incoming;
use hyper::client::conn::http1::{SendRequest, handshake};
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use tokio::net::{TcpListener, TcpStream};
use tokio::task::spawn_local;

/// After a connection that could not be accepted.
const PAUSE: Duration = Duration::from_millis(50);

/// Serves on a free port for as long as the runtime lives.
pub(super) async fn serve<F, A>(answer: F) -> io::Result<SocketAddr>
where
    F: Fn(Request<Incoming>) -> A + 'static,
    A: Future<Output = Response<Full<Bytes>>> + 'static,
{
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await?;
    let address = listener.local_addr()?;
    let answer = Rc::new(answer);
    drop(spawn_local(async move {
        loop {
            match listener.accept().await {
                Ok((stream, _)) => drop(spawn_local(connection(stream, Rc::clone(&answer)))),
                // Out of descriptors, most likely: others must end first.
                Err(_) => tokio::time::sleep(PAUSE).await,
            }
        }
    }));
    Ok(address)
}

async fn connection<F, A>(stream: TcpStream, answer: Rc<F>)
where
    F: Fn(Request<Incoming>) -> A + 'static,
    A: Future<Output = Response<Full<Bytes>>> + 'static,
{
    let service = service_fn(move |request| {
        let response = answer(request);
        async move { Ok::<_, Infallible>(response.await) }
    });
    // A peer that goes is nothing to tell anyone.
    let _ = http1::Builder::new().serve_connection(TokioIo::new(stream), service).with_upgrades().await;
}

/// Opens a connection that takes requests one after the other.
pub(super) async fn connect(address: SocketAddr) -> io::Result<SendRequest<Full<Bytes>>> {
    let stream = TcpStream::connect(address).await?;
    stream.set_nodelay(true)?;
    let (sender, connection) = handshake(TokioIo::new(stream)).await.map_err(io::Error::other)?;
    drop(spawn_local(connection));
    Ok(sender)
}
