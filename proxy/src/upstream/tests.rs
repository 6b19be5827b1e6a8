//! Requests to real services on loopback: kept, dead, slow, rude, and over HTTP/2 and TLS.
//! It knows nothing of how connections are kept.

mod http1;
mod http2;
mod origin;

use std::num::NonZeroU32;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::{Method, Request};
use http_body_util::BodyExt;
use tokio::runtime::{Builder, LocalOptions};

use self::origin::Origin;
use super::config::{Balance, Endpoint, Pool, Protocol, Timeouts, Upstream};
use super::{Answer, Behalf, Client, Cluster, Outgoing, Pools, Retry, SendError};
use crate::error::Reason;
use crate::telemetry::metrics::catalogue::Catalogue;
use crate::telemetry::metrics::{Registry, Value};
use crate::wire::body::Body;

/// A worker of the test's own: its pools, and the registry they count in.
struct Bench {
    registry: Registry,
    catalogue: Catalogue,
    pools: Pools,
}

/// Runs a test on a worker's runtime; a test that hangs fails.
fn run(test: impl Future<Output = ()> + 'static) {
    let runtime = Builder::new_current_thread().enable_all().build_local(LocalOptions::default()).unwrap();
    runtime.block_on(async { tokio::time::timeout(Duration::from_secs(20), test).await.expect("the test hangs") });
}

fn upstream(origins: &[&Origin]) -> Upstream {
    let endpoint = |origin: &&Origin| endpoint("127.0.0.1", origin.address.port());
    Upstream {
        name: "users".into(),
        endpoints: origins.iter().map(endpoint).collect(),
        protocol: Protocol::Http1,
        tls: None,
        balance: Balance::RoundRobin,
        timeouts: Timeouts {
            connect: Duration::from_secs(10),
            head: Duration::from_secs(10),
            idle: Duration::from_secs(10),
        },
        pool: Pool { idle_per_endpoint: 8, idle_timeout: Duration::from_secs(60), lifetime: Duration::from_secs(600) },
        breaker: None,
    }
}

fn endpoint(host: &str, port: u16) -> Endpoint {
    Endpoint { host: host.into(), port, weight: NonZeroU32::MIN }
}

impl Bench {
    fn new() -> Self {
        let registry = Registry::new();
        let catalogue = Catalogue::new(&registry).unwrap();
        let pools = Pools::new(registry.shard(), &catalogue, 1);
        Self { registry, catalogue, pools }
    }

    fn client(&self, config: &Upstream) -> Rc<Client> {
        let cluster = Cluster::new(config, None, &self.registry, &self.catalogue).unwrap();
        self.pools.client(&Arc::new(cluster))
    }
}

fn request(method: Method, path: &str, body: Body) -> Request<Body> {
    Request::builder().method(method).uri(path).header("host", "users.internal").body(body).unwrap()
}

fn get(path: &str) -> Request<Body> {
    request(Method::GET, path, Body::empty())
}

/// Sends to the first endpoint.
async fn send(client: &Client, request: Request<Body>) -> Result<Answer, SendError> {
    client.send(0, &mut Some(request.map(Outgoing::new)), Behalf::default()).await
}

/// Sends to the first endpoint, and once more where that is safe.
async fn send_safely(client: &Client, request: Request<Body>) -> Result<Answer, SendError> {
    let mut request = Some(request.map(Outgoing::new));
    match client.send(0, &mut request, Behalf::default()).await {
        Err(SendError { retry: Retry::Safe, .. }) => client.send(0, &mut request, Behalf::default()).await,
        answered => answered,
    }
}

/// Sends to the first endpoint, reads the answer to its end, and gives the connection back.
async fn fetch(client: &Client, request: Request<Body>) -> Result<(u16, Bytes, bool), SendError> {
    let answer = send(client, request).await?;
    Ok(read(answer).await)
}

async fn read(answer: Answer) -> (u16, Bytes, bool) {
    let Answer { head, body, lease, reused, .. } = answer;
    let body = body.collect().await.unwrap().to_bytes();
    drop(lease);
    (head.status.as_u16(), body, reused)
}

async fn refused(client: &Client, request: Request<Body>) -> (Reason, Option<Request<Outgoing>>) {
    let mut request = Some(request.map(Outgoing::new));
    match client.send(0, &mut request, Behalf::default()).await {
        Ok(answer) => panic!("{:?}", answer.head),
        Err(error) => (error.reason, request.filter(|_| error.retry == Retry::Safe)),
    }
}

/// The gauge of open connections, by state.
fn open_connections(bench: &Bench) -> [(String, f64); 2] {
    let snapshot = bench.registry.gather();
    let name = "http.client.open_connections";
    let family = snapshot.families.iter().find(|family| family.family.definition().name == name).unwrap();
    let points = family.points.iter().map(|point| match point.value {
        Value::Gauge(value) => (point.labels[0].to_string(), value),
        _ => panic!("no gauge"),
    });
    points.collect::<Vec<_>>().try_into().unwrap()
}
