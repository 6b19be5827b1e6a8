//! The end that nobody asked for. All else is seen from outside; a worker cannot be taken away from there.

use std::net::TcpStream;
use std::time::Duration;

use super::*;

const CONFIG: &str = r#"
admin: { address: off }
workers: 2
listeners: [{ address: "127.0.0.1:0" }]
routes: [{ upstream: app }]
upstreams: { app: { endpoints: ["127.0.0.1:1"] } }
telemetry: { access_log: { output: off } }
"#;

#[test]
fn the_loss_of_a_worker_ends_the_proxy_and_is_its_failure() {
    let loaded = crate::config::parse(CONFIG, "test.yaml", &|_| None).unwrap();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build_local(Default::default()).unwrap();
    runtime.block_on(async {
        let (supervisor, triggers, ready) = Supervisor::start(loaded, None).await.unwrap();
        let (_, address) = ready.listeners[0];
        assert!(TcpStream::connect(address).is_ok());
        let (_hurry, hurried) = watch::channel(false);
        supervisor.workers[0].drain(Instant::now(), hurried).await;
        let served = serve(supervisor, triggers, None, Box::pin(std::future::pending()));
        let ended = tokio::time::timeout(Duration::from_secs(60), served).await.unwrap();
        assert!(matches!(ended, Err(Error::Gone(_))), "{ended:?}");
        // The other worker has ended too, in order.
        assert!(TcpStream::connect(address).is_err());
    });
}
