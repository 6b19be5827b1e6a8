//! The demo's clients: a steady stream of requests and three WebSockets that say something now and then.
//! They know what they ask for, and do not count what they get.

use std::cell::{Cell, RefCell};
use std::net::SocketAddr;
use std::num::NonZeroU32;
use std::rc::Rc;
use std::time::Duration;

use bytes::Bytes;
use futures_util::{SinkExt as _, StreamExt as _};
use http::header::{HOST, USER_AGENT};
use http::{Method, Request};
use http_body_util::{BodyExt as _, Full};
use hyper::client::conn::http1::SendRequest;
use tokio::net::TcpStream;
use tokio::task::{JoinHandle, spawn_local};
use tokio::time::{MissedTickBehavior, interval, sleep, timeout};
use tokio_tungstenite::client_async;
use tokio_tungstenite::tungstenite::Message;

use super::{setup, socket};

/// How many WebSockets are kept open.
const SOCKETS: u32 = 3;
/// How often each of them sends, and how long it waits when it could not connect.
const SAY: Duration = Duration::from_secs(2);

/// The sample traffic; it goes on until it is stopped.
#[derive(Debug)]
pub(super) struct Traffic {
    requests: JoinHandle<()>,
    sockets: Vec<JoinHandle<()>>,
    clients: Rc<Clients>,
}

/// The connections between requests, and how many requests are under way.
#[derive(Debug)]
struct Clients {
    address: SocketAddr,
    idle: RefCell<Vec<SendRequest<Full<Bytes>>>>,
    under_way: Cell<usize>,
}

impl Traffic {
    pub(super) fn start(address: SocketAddr, rate: NonZeroU32) -> Self {
        let clients = Rc::new(Clients { address, idle: RefCell::default(), under_way: Cell::new(0) });
        let requests = spawn_local(requests(Rc::clone(&clients), Duration::from_secs(1) / rate.get()));
        let sockets = (0..SOCKETS).map(|number| spawn_local(websocket(address, number))).collect();
        Self { requests, sockets, clients }
    }

    /// Sends nothing more; returns when all is answered, or after this time.
    pub(super) async fn stop(self, longest: Duration) {
        self.requests.abort();
        self.sockets.iter().for_each(JoinHandle::abort);
        let _ = timeout(longest, async {
            while self.clients.under_way.get() > 0 {
                sleep(Duration::from_millis(10)).await;
            }
        })
        .await;
    }
}

async fn requests(clients: Rc<Clients>, every: Duration) {
    let mut ticks = interval(every);
    // What was missed is sent late; not all of a pause at once.
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    for count in 0.. {
        ticks.tick().await;
        let (method, path) = request(count);
        drop(spawn_local(send(Rc::clone(&clients), method, path)));
    }
}

/// What to ask for, in shares of a thousand. Steps of the golden ratio spread each share evenly over time, so that the
/// figures are steady and two runs can be compared.
fn request(count: u64) -> (Method, String) {
    let number = count * 7 % 1000;
    match count * 618_034 % 1_000_000 / 1000 {
        0..500 => (Method::GET, format!("/users/{number}")),
        500..560 => (Method::POST, format!("/orders/{number}/items/{}", number % 3)),
        560..860 => (Method::GET, format!("/static/page-{}.css", number % 20)),
        860..900 => (Method::GET, "/".to_owned()),
        share if share < 900 + setup::SEARCHES => (Method::GET, "/search?q=tides&token=secret".to_owned()),
        share if share < 980 => (Method::GET, format!("/reports/2026-01-{:02}", number % 28 + 1)),
        _ => (Method::GET, "/slow".to_owned()),
    }
}

async fn send(clients: Rc<Clients>, method: Method, path: String) {
    clients.under_way.set(clients.under_way.get() + 1);
    // An answer that never comes is the proxy's to tell, in its log and its metrics.
    let _ = exchange(&clients, method, path).await;
    clients.under_way.set(clients.under_way.get() - 1);
}

async fn exchange(clients: &Clients, method: Method, path: String) -> Option<()> {
    let idle = clients.idle.borrow_mut().pop().filter(SendRequest::is_ready);
    let mut sender = match idle {
        Some(sender) => sender,
        None => socket::connect(clients.address).await.ok()?,
    };
    let body = if method == Method::POST { Bytes::from_static(b"{\"count\":1}") } else { Bytes::new() };
    let request = Request::builder()
        .method(method)
        .uri(path)
        .header(HOST, "demo.example.com")
        .header(USER_AGENT, "tidegate-demo")
        .body(Full::new(body))
        .ok()?;
    let mut response = sender.send_request(request).await.ok()?.into_body();
    while let Some(frame) = response.frame().await {
        frame.ok()?;
    }
    sender.ready().await.ok()?;
    clients.idle.borrow_mut().push(sender);
    Some(())
}

/// Keeps one WebSocket open.
async fn websocket(address: SocketAddr, number: u32) {
    loop {
        // What ended is opened again.
        let _ = talk(address, number).await;
        sleep(SAY).await;
    }
}

async fn talk(address: SocketAddr, number: u32) -> Option<()> {
    let stream = TcpStream::connect(address).await.ok()?;
    let (mut socket, _) = client_async(format!("ws://{address}/ws/{number}"), stream).await.ok()?;
    loop {
        socket.send(Message::text(format!("hello from {number}"))).await.ok()?;
        socket.next().await?.ok()?;
        sleep(SAY).await;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_thousand_requests_are_alike() {
        for begun in [0, 12_345] {
            let asked: Vec<_> = (begun..begun + 1000).map(|count| request(count).1).collect();
            let count = |prefix: &str| asked.iter().filter(|path| path.starts_with(prefix)).count();
            for (prefix, share) in
                [("/users/", 500), ("/static/", 300), ("/search", 50), ("/reports/", 30), ("/slow", 20)]
            {
                assert!(count(prefix).abs_diff(share) <= 3, "{prefix}: {} instead of {share}", count(prefix));
            }
        }
    }
}
