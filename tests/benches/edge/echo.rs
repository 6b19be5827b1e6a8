//! WebSocket load: 64 connections that send 128 bytes and wait for their echo, over and over; and the backend that echoes.
//! Frames are written by hand, as short as they can be, so that core 1 is not busy with a library.

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

const CONNECTIONS: usize = 64;
const PAYLOAD: usize = 128;
/// Binary, final, masked by zero, with a length of two bytes.
const FROM_CLIENT: [u8; 8] = [0x82, 0xfe, 0, 128, 0, 0, 0, 0];
/// The same without the mask.
const FROM_SERVER: [u8; 4] = [0x82, 0x7e, 0, 128];

/// Starts the echo on a thread of its own; it lives as long as the bench.
pub fn backend() -> SocketAddr {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    listener.set_nonblocking(true).unwrap();
    let address = listener.local_addr().unwrap();
    std::thread::spawn(move || {
        runtime().block_on(async move {
            let listener = TcpListener::from_std(listener).unwrap();
            while let Ok((stream, _)) = listener.accept().await {
                tokio::spawn(echo(stream));
            }
        });
    });
    address
}

async fn echo(mut stream: TcpStream) -> Option<()> {
    stream.set_nodelay(true).ok()?;
    let head = head(&mut stream).await?;
    let key = head
        .lines()
        .find_map(|line| line.to_ascii_lowercase().starts_with("sec-websocket-key:").then(|| &line[18..]))?;
    let accept = tokio_tungstenite::tungstenite::handshake::derive_accept_key(key.trim().as_bytes());
    let answer = format!(
        "HTTP/1.1 101 Switching Protocols\r\nupgrade: websocket\r\nconnection: upgrade\r\nsec-websocket-accept: {accept}\r\n\r\n"
    );
    stream.write_all(answer.as_bytes()).await.ok()?;
    let mut frame = [0; FROM_CLIENT.len() + PAYLOAD];
    let mut reply = [0; FROM_SERVER.len() + PAYLOAD];
    reply[..FROM_SERVER.len()].copy_from_slice(&FROM_SERVER);
    loop {
        stream.read_exact(&mut frame).await.ok()?;
        reply[FROM_SERVER.len()..].copy_from_slice(&frame[FROM_CLIENT.len()..]);
        stream.write_all(&reply).await.ok()?;
    }
}

/// How many round trips were made, and the time in which 99 % of them were.
pub fn load(address: SocketAddr, time: Duration) -> (u64, Duration) {
    runtime().block_on(async move {
        let end = Instant::now() + time;
        let clients: Vec<_> = (0..CONNECTIONS).map(|_| tokio::spawn(client(address, end))).collect();
        let mut times = Vec::new();
        for client in clients {
            times.extend(client.await.unwrap());
        }
        times.sort_unstable();
        (times.len() as u64, times[times.len() * 99 / 100])
    })
}

async fn client(address: SocketAddr, end: Instant) -> Vec<Duration> {
    let mut stream = TcpStream::connect(address).await.unwrap();
    stream.set_nodelay(true).unwrap();
    let request = format!(
        "GET /websocket HTTP/1.1\r\nhost: {address}\r\nupgrade: websocket\r\nconnection: upgrade\r\n\
         sec-websocket-version: 13\r\nsec-websocket-key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n"
    );
    stream.write_all(request.as_bytes()).await.unwrap();
    let answer = head(&mut stream).await.expect("an answer to the handshake");
    assert!(answer.starts_with("HTTP/1.1 101"), "{answer}");
    let mut frame = [b'x'; FROM_CLIENT.len() + PAYLOAD];
    frame[..FROM_CLIENT.len()].copy_from_slice(&FROM_CLIENT);
    let mut reply = [0; FROM_SERVER.len() + PAYLOAD];
    let mut times = Vec::new();
    let mut begun = Instant::now();
    while begun < end {
        stream.write_all(&frame).await.unwrap();
        stream.read_exact(&mut reply).await.expect("an echo");
        let now = Instant::now();
        times.push(now - begun);
        begun = now;
    }
    times
}

/// Reads a head, byte by byte, since frames may follow it.
async fn head(stream: &mut TcpStream) -> Option<String> {
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        head.push(stream.read_u8().await.ok()?);
    }
    String::from_utf8(head).ok()
}

fn runtime() -> tokio::runtime::Runtime {
    tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap()
}
