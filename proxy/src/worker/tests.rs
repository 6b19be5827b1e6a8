//! A worker's end, and the names of its sockets.
//! It sends no request; that is for the tests from outside.

use super::*;
use crate::telemetry::metrics::Registry;

#[test]
fn sockets_are_named_by_address_and_by_their_turn_among_equals() {
    let (one, other) = ("127.0.0.1:0".parse().unwrap(), "127.0.0.1:80".parse().unwrap());
    let named = |addresses: &[SocketAddr]| {
        keys(addresses.iter().copied()).into_iter().map(|key| (key.address, key.occurrence)).collect::<Vec<_>>()
    };
    assert_eq!(named(&[one, other, one, one]), [(one, 0), (other, 0), (one, 1), (one, 2)]);
    // One that goes takes no other's name.
    assert_eq!(named(&[one, one]), [(one, 0), (one, 1)]);
}

#[tokio::test]
async fn a_worker_that_has_drained_is_gone_and_says_so() {
    let worker = Handle::spawn(0, WorkerScope::silent(&Registry::new()).unwrap()).unwrap();
    let (_hurry, hurried) = watch::channel(false);
    assert_eq!(worker.drain(Instant::now(), hurried.clone()).await, 0, "it had no connection");
    worker.gone().await;
    assert_eq!(worker.drain(Instant::now(), hurried).await, 0);
    worker.join();
}
