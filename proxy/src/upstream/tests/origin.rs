//! A service on loopback that does exactly what a test tells it to, byte by byte.
//! It knows no HTTP.

use std::cell::Cell;
use std::net::SocketAddr;
use std::rc::Rc;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::spawn_local;

/// A listening service.
pub(super) struct Origin {
    pub(super) address: SocketAddr,
    accepted: Rc<Cell<usize>>,
}

/// One connection of it.
pub(super) struct Peer {
    stream: TcpStream,
    buffer: Vec<u8>,
}

impl Origin {
    /// Serves each connection with `serve`, which gets its number, from 0.
    pub(super) async fn new<F, S>(serve: F) -> Self
    where
        F: Fn(usize, Peer) -> S + 'static,
        S: Future<Output = ()> + 'static,
    {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let accepted = Rc::new(Cell::new(0));
        let count = Rc::clone(&accepted);
        spawn_local(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let number = count.replace(count.get() + 1);
                spawn_local(serve(number, Peer { stream, buffer: Vec::new() }));
            }
        });
        Self { address, accepted }
    }

    /// How many connections were accepted.
    pub(super) fn connections(&self) -> usize {
        self.accepted.get()
    }
}

impl Peer {
    /// Reads up to and with `end`; `None` when the connection ends before.
    pub(super) async fn until(&mut self, end: &str) -> Option<String> {
        loop {
            if let Some(at) = self.buffer.windows(end.len()).position(|window| window == end.as_bytes()) {
                let rest = self.buffer.split_off(at + end.len());
                return String::from_utf8(std::mem::replace(&mut self.buffer, rest)).ok();
            }
            if self.stream.read_buf(&mut self.buffer).await.unwrap_or(0) == 0 {
                return None;
            }
        }
    }

    pub(super) async fn head(&mut self) -> Option<String> {
        self.until("\r\n\r\n").await
    }

    pub(super) async fn write(&mut self, text: &str) {
        let _ = self.stream.write_all(text.as_bytes()).await;
    }

    /// Waits until the other side closes.
    pub(super) async fn closed(&mut self) {
        while self.stream.read_buf(&mut self.buffer).await.unwrap_or(0) > 0 {}
    }

    /// Answers every request with `ok`, and the request's target.
    pub(super) async fn echo(mut self) {
        while let Some(head) = self.head().await {
            let target = head.split(' ').nth(1).unwrap_or_default().to_owned();
            self.write(&format!("HTTP/1.1 200 OK\r\ncontent-length: {}\r\n\r\n{target}", target.len())).await;
        }
    }

    pub(super) fn into_stream(self) -> TcpStream {
        self.stream
    }
}
