//! The splice, over pipes: both directions, slow receivers, early bytes, silence and breaks.

use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt, duplex, split};

use super::*;

const LONG: Duration = Duration::from_secs(60);

fn side<IO>(io: IO, early: &'static [u8]) -> Side<IO> {
    Side { io, early: Bytes::from_static(early) }
}

#[tokio::test]
async fn moves_both_ways_with_a_slow_receiver_and_counts_what_came_early() {
    let (client, client_side) = duplex(64);
    let (upstream, upstream_side) = duplex(64);
    let traffic = Traffic::default();
    let run = splice(side(client_side, b"early "), side(upstream_side, b"hello "), LONG, &traffic);
    let (mut client_in, mut client_out) = split(client);
    let (mut upstream_in, mut upstream_out) = split(upstream);
    let send = async {
        // More than the duplexes hold.
        client_out.write_all(&[b'c'; 1000]).await.unwrap();
        client_out.shutdown().await.unwrap();
    };
    let answer = async {
        let mut got = Vec::new();
        upstream_in.read_to_end(&mut got).await.unwrap();
        upstream_out.write_all(b"world").await.unwrap();
        upstream_out.shutdown().await.unwrap();
        got
    };
    let receive = async {
        let mut got = Vec::new();
        client_in.read_to_end(&mut got).await.unwrap();
        got
    };
    let (ended, (), upstream_got, client_got) = tokio::join!(run, send, answer, receive);
    assert_eq!(ended, Ok(()));
    assert_eq!(upstream_got, [b"early ".as_slice(), &[b'c'; 1000]].concat());
    assert_eq!(client_got, b"hello world");
    assert_eq!((traffic.sent.get(), traffic.received.get()), (1006, 11));
}

#[tokio::test]
async fn says_which_side_broke() {
    let (client, client_side) = duplex(64);
    let (upstream, upstream_side) = duplex(64);
    drop(upstream);
    let traffic = Traffic::default();
    let run = splice(side(client_side, b"x"), side(upstream_side, b""), LONG, &traffic);
    assert_eq!(run.await, Err(Reason::UpstreamClosed));
    drop(client);
}

#[tokio::test]
async fn ends_when_nothing_moves() {
    const IDLE: Duration = Duration::from_millis(30);
    let (_client, client_side) = duplex(64);
    let (_upstream, upstream_side) = duplex(64);
    let traffic = Traffic::default();
    let begun = Instant::now();
    let ended = splice(side(client_side, b""), side(upstream_side, b""), IDLE, &traffic).await;
    assert_eq!(ended, Err(Reason::Timeout));
    assert!(begun.elapsed() >= IDLE);
}
