//! What telemetry costs an exchange on its worker, in nanoseconds, from its head to its drop: `cargo bench -p tidegate --bench record`.
//! It knows no socket, and needs Linux; lines go to /dev/null and spans to a collector that is not there.
#![allow(clippy::unwrap_used, clippy::print_stdout, reason = "a measurement stops when something is wrong, and prints")]

use std::hint::black_box;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use http::{HeaderMap, HeaderName, HeaderValue, StatusCode, Version};
use tidegate::telemetry::Telemetry;
use tidegate::telemetry::config::{
    self, AccessLog, LogFormat, LogOutput, Metrics, Otlp, OtlpProtocol, REDACTED_QUERY, Service, Traces,
};
use tidegate::telemetry::metrics::Registry;
use tidegate::telemetry::record::{Arrival, Record, RequestHead, ResponseHead};
use tidegate::telemetry::scope::{ListenerScope, RouteScope};

fn main() {
    measure("metrics", &config(false, None));
    measure("metrics, JSON log", &config(true, None));
    measure("metrics, JSON log, 10 % traces", &config(true, Some(0.1)));
    measure("metrics, JSON log, all traces", &config(true, Some(1.0)));
}

fn config(log: bool, ratio: Option<f64>) -> config::Telemetry {
    config::Telemetry {
        service: Service { name: "edge".into(), namespace: None, attributes: Vec::new() },
        otlp: ratio.map(|_| Otlp {
            endpoint: "http://127.0.0.1:9".parse().unwrap(),
            protocol: OtlpProtocol::HttpProtobuf,
            headers: Vec::new(),
            timeout: Duration::from_millis(100),
        }),
        traces: Traces {
            ratio: ratio.unwrap_or_default(),
            parent_based: true,
            always_errors: true,
            always_slower_than: Some(Duration::from_secs(1)),
            queue: 1_000_000,
            interval: Duration::from_secs(1),
        },
        metrics: Metrics { otlp: false, interval: Duration::from_secs(60), scrape: Vec::new() },
        access_log: log.then(|| AccessLog {
            format: LogFormat::Json,
            output: LogOutput::File("/dev/null".into()),
            include: Vec::new(),
            fields: Vec::new(),
            redact_query: REDACTED_QUERY.map(Arc::from).into(),
        }),
    }
}

fn measure(name: &str, config: &config::Telemetry) {
    let telemetry = Telemetry::start(config, Registry::new()).unwrap();
    let worker = Rc::new(telemetry.worker());
    let listener = ListenerScope::new(&worker, &Arc::from("web"));
    let route = RouteScope::new(&worker, &Arc::from("users"), "/users/{id}", "app");
    let endpoint: Arc<str> = Arc::from("10.0.0.5:3000");
    let mut best = f64::INFINITY;
    for _ in 0..10 {
        let prepare = spent(|| drop(black_box((arrival(), HeaderMap::<HeaderValue>::with_capacity(8)))));
        let all = spent(|| {
            let (arrival, mut upstream) = black_box((arrival(), HeaderMap::with_capacity(8)));
            let mut record = Record::begin(Rc::clone(&listener), arrival);
            record.enter(Rc::clone(&route));
            let started = record.started;
            let attempt = record.attempt(Arc::clone(&endpoint), false, &mut upstream);
            (attempt.head, attempt.ended, attempt.status) = (Some(started), Some(started), Some(StatusCode::OK));
            record.response =
                Some(ResponseHead { status: StatusCode::OK, version: Version::HTTP_11, headers: HeaderMap::new() });
            drop(black_box(record));
        });
        worker.flush();
        best = best.min(all - prepare);
    }
    println!("{name:<40}{best:>7.1} ns");
    drop(worker);
    telemetry.shutdown();
}

/// Nanoseconds of this thread's processor time for one call: what other threads do does not count.
fn spent(mut call: impl FnMut()) -> f64 {
    const TIMES: u32 = 20_000;
    let on_cpu = || {
        let text = std::fs::read_to_string("/proc/thread-self/schedstat").unwrap();
        text.split(' ').next().unwrap().parse::<f64>().unwrap()
    };
    let before = on_cpu();
    (0..TIMES).for_each(|_| call());
    (on_cpu() - before) / f64::from(TIMES)
}

fn arrival() -> Arrival {
    let mut headers = HeaderMap::new();
    for (name, value) in [("host", "api.example.com"), ("accept", "*/*"), ("user-agent", "bench")] {
        headers.insert(HeaderName::from_static(name), HeaderValue::from_static(value));
    }
    let request = RequestHead {
        uri: "/users/42".parse().unwrap(),
        version: Version::HTTP_11,
        host: "api.example.com".into(),
        headers,
        ..RequestHead::default()
    };
    Arrival { peer: "10.0.0.1:4711".parse().unwrap(), request }
}
