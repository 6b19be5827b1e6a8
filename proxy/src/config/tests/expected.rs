//! What the two documented configurations mean, written out.

use std::num::{NonZeroU32, NonZeroUsize};
use std::time::Duration;

use governor::Quota;
use http::{HeaderValue, Method};
use serde_json::json;

use crate::config::model::{Admin, Config, Route};
use crate::limit::config::{Key, Limit};
use crate::listen::config::{Certificate, Listener, Tls as ListenerTls};
use crate::plugin::config::{Allow, Budget, Capability, Isolation, OnFailure, Plugin, Source};
use crate::route::config::{Host, Match, PathMatch, Rewrite, Segment, Template};
use crate::telemetry::config::{
    AccessLog, LogFormat, LogInclude, LogOutput, Metrics, Otlp, OtlpProtocol, Scrape, Service, Telemetry, Traces,
};
use crate::upstream::config::{Balance, Breaker, Endpoint, Pool, Protocol, Timeouts, Tls, Upstream};
use crate::wire::config::{HeadLimits, Network};

fn count(number: u32) -> NonZeroU32 {
    NonZeroU32::new(number).unwrap()
}

fn seconds(seconds: u64) -> Duration {
    Duration::from_secs(seconds)
}

fn endpoint(host: &str, port: u16, weight: u32) -> Endpoint {
    Endpoint { host: host.into(), port, weight: count(weight) }
}

fn upstream(name: &str, endpoints: Vec<Endpoint>) -> Upstream {
    Upstream {
        name: name.into(),
        endpoints,
        protocol: Protocol::Http1,
        tls: None,
        balance: Balance::RoundRobin,
        timeouts: Timeouts { connect: seconds(1), head: seconds(15), idle: seconds(60) },
        pool: Pool { idle_per_endpoint: 64, idle_timeout: seconds(60), lifetime: seconds(600) },
        breaker: None,
    }
}

fn plugin(name: &str, source: Source, config: serde_json::Value) -> Plugin {
    let budget = Budget {
        memory: 16 << 20,
        deadline: Duration::from_millis(5),
        series: 1000,
        log_fields: 32,
        spans: 16,
        log_lines: 100,
        call_outs: 100,
        key_value: 1 << 20,
        bodies: 64 << 20,
    };
    Plugin {
        name: name.into(),
        source,
        config,
        on_failure: OnFailure::Open,
        required: false,
        isolation: Isolation::Worker,
        allow: Allow::ALL,
        budget,
    }
}

fn otlp(endpoint: &str) -> Otlp {
    Otlp { endpoint: endpoint.parse().unwrap(), protocol: OtlpProtocol::Grpc, headers: vec![], timeout: seconds(10) }
}

pub(super) fn ten_lines() -> Config {
    let redact = ["access_token", "api_key", "key", "password", "secret", "token"];
    Config {
        admin: Admin { address: Some("127.0.0.1:9901".parse().unwrap()) },
        workers: None,
        drain_delay: None,
        drain_timeout: seconds(30),
        listeners: vec![Listener {
            name: "0.0.0.0:8080".into(),
            address: "0.0.0.0:8080".parse().unwrap(),
            tls: None,
            trusted_proxies: vec![],
            max_connections: count(10_000),
            head: HeadLimits { max_size: 32 << 10, max_headers: 100, timeout: seconds(10) },
            idle_timeout: seconds(75),
            plugins: vec![],
        }],
        routes: vec![Route {
            name: "app".into(),
            matcher: Match::default(),
            rewrite: Rewrite::default(),
            upstream: 0,
            limits: vec![],
            plugins: vec![0, 1],
            timeout: Some(seconds(30)),
        }],
        upstreams: vec![upstream("app", vec![endpoint("127.0.0.1", 3000, 1)])],
        limits: vec![],
        plugins: vec![
            plugin("ids", Source::Builtin("correlation-id".into()), json!({})),
            plugin("checkout", Source::File("plugins/checkout.wasm".into()), json!({ "tenants": ["acme", "globex"] })),
        ],
        plugin_cache: None,
        telemetry: Telemetry {
            service: Service { name: "tidegate".into(), namespace: None, attributes: vec![] },
            otlp: Some(otlp("http://127.0.0.1:4317")),
            traces: Traces {
                ratio: 1.0,
                parent_based: true,
                always_errors: true,
                always_slower_than: None,
                queue: 8192,
                interval: seconds(1),
            },
            metrics: Metrics {
                otlp: true,
                interval: seconds(15),
                scrape: vec![Scrape { listener: None, path: "/metrics".into() }],
            },
            access_log: Some(AccessLog {
                format: LogFormat::Json,
                output: LogOutput::Stdout,
                include: vec![],
                fields: vec![],
                redact_query: redact.map(Into::into).into(),
            }),
        },
    }
}

pub(super) fn full() -> Config {
    let users = Route {
        name: "users".into(),
        matcher: Match {
            hosts: vec![Host::Exact("api.example.com".into()), Host::Wildcard(".api.example.com".into())],
            path: PathMatch::Template(Template {
                text: "/users/{id}".into(),
                segments: vec![Segment::Literal("users".into()), Segment::Parameter("id".into())],
            }),
            methods: vec![Method::GET, Method::HEAD],
            headers: vec![("x-tenant".parse().unwrap(), Some(HeaderValue::from_static("acme")))],
            listeners: vec![],
        },
        rewrite: Rewrite { prefix: Some("/v1/users".into()), host: Some(HeaderValue::from_static("users.internal")) },
        upstream: 0,
        limits: vec![0, 1],
        plugins: vec![0, 1],
        timeout: Some(seconds(30)),
    };
    let live = Route {
        name: "live".into(),
        matcher: Match { path: PathMatch::Prefix("/ws".into()), ..Match::default() },
        rewrite: Rewrite::default(),
        upstream: 1,
        limits: vec![],
        plugins: vec![0],
        timeout: Some(seconds(30)),
    };
    let ids = json!({ "header": "x-request-id", "format": "uuid_v7", "trust": ["internal"] });
    let classify = json!({
        "label": "kind",
        "rules": [{ "path_prefix": "/users", "value": "api" }, { "path_prefix": "/static", "value": "page" }],
        "otherwise": "other",
    });
    let ten = ten_lines();
    let mut web = ten.listeners.into_iter().next().unwrap();
    web.name = "web".into();
    web.address = "0.0.0.0:8443".parse().unwrap();
    web.tls = Some(ListenerTls {
        certificates: vec![Certificate { certificate: "certs/site.pem".into(), key: "certs/site.key".into() }],
    });
    web.trusted_proxies = vec![Network { address: "10.0.0.0".parse().unwrap(), prefix: 8 }];
    web.max_connections = count(20_000);
    Config {
        listeners: vec![web],
        routes: vec![users, live],
        upstreams: vec![
            Upstream {
                tls: Some(Tls {
                    server_name: Some("users.internal".into()),
                    ca: Some("certs/ca.pem".into()),
                    verify: true,
                }),
                balance: Balance::LeastRequests,
                breaker: Some(Breaker {
                    consecutive_failures: Some(count(5)),
                    failure_budget: None,
                    open_for: seconds(5),
                    probes: count(3),
                }),
                ..upstream("users", vec![endpoint("10.0.0.5", 3000, 1), endpoint("10.0.0.6", 3000, 2)])
            },
            upstream("chat", vec![endpoint("10.0.0.7", 4000, 1)]),
        ],
        limits: vec![
            Limit {
                name: "per-client".into(),
                key: Key::ClientAddress { ipv6_prefix: 64 },
                quota: Quota::per_second(count(100)).allow_burst(count(200)),
                max_keys: NonZeroUsize::new(100_000).unwrap(),
            },
            Limit {
                name: "per-kind".into(),
                key: Key::Plugin("kind".into()),
                quota: Quota::per_second(count(1000)),
                max_keys: NonZeroUsize::new(100_000).unwrap(),
            },
        ],
        plugins: vec![
            plugin("ids", Source::Builtin("correlation-id".into()), ids),
            Plugin {
                allow: Allow::only([
                    Capability::Metrics,
                    Capability::LogFields,
                    Capability::LogLines,
                    Capability::Spans,
                    Capability::Headers,
                    Capability::Reply,
                    Capability::Routing,
                ]),
                ..plugin("classify", Source::Builtin("request-classifier".into()), classify)
            },
        ],
        plugin_cache: Some("/var/lib/tidegate/compiled".into()),
        telemetry: Telemetry {
            service: Service { name: "edge".into(), namespace: Some("prod".into()), attributes: vec![] },
            otlp: Some(otlp("http://tempo:4317")),
            traces: Traces { ratio: 0.1, always_slower_than: Some(seconds(1)), ..ten.telemetry.traces },
            access_log: Some(AccessLog {
                format: LogFormat::Json,
                output: LogOutput::Stdout,
                include: vec![LogInclude::RequestHeader(http::header::USER_AGENT)],
                fields: vec![("environment".into(), "production".into())],
                redact_query: ["token", "key", "password"].map(Into::into).into(),
            }),
            ..ten.telemetry
        },
        ..ten
    }
}
