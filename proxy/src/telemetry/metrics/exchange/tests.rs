//! What a scrape shows of exchanges.

use std::sync::Arc;
use std::time::Duration;

use ::http::{Method, StatusCode, Version};

use super::{ClientSample, ListenerMetrics, RouteMetrics, ServerSample};
use crate::error::Reason;
use crate::telemetry::metrics::catalogue::Catalogue;
use crate::telemetry::metrics::{Registry, Value};

fn sample(method: &Method, status: u16) -> ServerSample<'_> {
    ServerSample {
        method,
        status: StatusCode::from_u16(status).ok(),
        version: Version::HTTP_11,
        https: false,
        error: None,
        duration: Duration::from_millis(3),
        request_bytes: 10,
        response_bytes: 300,
        exemplar: None,
    }
}

fn route(registry: &Registry) -> (Catalogue, RouteMetrics) {
    let catalogue = Catalogue::new(registry).unwrap();
    let shard = registry.shard();
    let route = RouteMetrics::new(&catalogue, &shard, "web", "/users/{id}", "users", "app");
    (catalogue, route)
}

fn count(registry: &Registry, name: &str) -> Vec<(Vec<String>, f64)> {
    let snapshot = registry.gather();
    let points = snapshot.family(name).map(|measured| measured.points.as_slice()).unwrap_or_default();
    points.iter().map(|point| (point.labels.iter().map(ToString::to_string).collect(), point.value.as_f64())).collect()
}

#[test]
fn an_exchange_is_counted_under_the_labels_of_the_convention() {
    let registry = Registry::new();
    let (_, route) = route(&registry);
    route.observe(&sample(&Method::GET, 200));
    route.observe(&sample(&Method::GET, 200));
    route.observe(&ServerSample { https: true, version: Version::HTTP_2, ..sample(&Method::GET, 503) });

    let snapshot = registry.gather();
    let labels = |status, version, scheme, error| {
        [
            ("http.request.method", "GET"),
            ("http.response.status_code", status),
            ("network.protocol.version", version),
            ("url.scheme", scheme),
            ("error.type", error),
            ("http.route", "/users/{id}"),
            ("tidegate.listener", "web"),
        ]
    };
    let fine = snapshot.value("http.server.request.duration", &labels("200", "1.1", "http", "")).unwrap();
    let Value::Histogram(observations) = fine else { panic!("{fine:?}") };
    assert_eq!((observations.count(), observations.sum), (2, 0.006));
    let failed = snapshot.value("http.server.response.body.size", &labels("503", "2", "https", "503")).unwrap();
    assert_eq!(failed.as_f64(), 1.0);
}

#[test]
fn methods_and_statuses_that_a_client_or_an_upstream_makes_up_share_one_series() {
    let registry = Registry::new();
    let (_, route) = route(&registry);
    for number in 0..100 {
        let method = Method::from_bytes(format!("X{number}").as_bytes()).unwrap();
        route.observe(&sample(&method, 600 + number));
    }
    let counted = count(&registry, "http.server.request.duration");
    assert_eq!(counted.len(), 1);
    assert_eq!((counted[0].0[0].as_str(), counted[0].0[1].as_str(), counted[0].1), ("_OTHER", "", 100.0));
}

#[test]
fn an_error_is_counted_with_its_source_and_named_in_the_duration() {
    let registry = Registry::new();
    let (_, route) = route(&registry);
    for reason in Reason::ALL {
        let status = Some(reason.status());
        route.observe(&ServerSample { error: Some(*reason), status, ..sample(&Method::POST, 500) });
    }
    let errors = count(&registry, "tidegate.errors");
    assert_eq!(errors.len(), Reason::ALL.len());
    for reason in Reason::ALL {
        let labels = vec![reason.source().as_str().to_owned(), reason.as_str().to_owned(), "users".to_owned()];
        assert!(errors.contains(&(labels, 1.0)), "{reason}");
    }
    let durations = count(&registry, "http.server.request.duration");
    assert!(durations.iter().any(|(labels, _)| labels[4] == "upstream_head_timeout" && labels[1] == "504"));
}

#[test]
fn an_attempt_is_counted_by_its_endpoint() {
    let registry = Registry::new();
    let (_, route) = route(&registry);
    let attempt = |endpoint: &Arc<str>| {
        route.observe_attempt(&ClientSample {
            method: &Method::GET,
            status: Some(StatusCode::NOT_FOUND),
            error: None,
            endpoint,
            duration: Duration::from_millis(1),
            exemplar: None,
        });
    };
    let app = Arc::from("app.internal:80");
    attempt(&Arc::from("[::1]:3000"));
    attempt(&app);
    attempt(&app);
    // What another version of the configuration calls the same is the same.
    attempt(&Arc::from("app.internal:80"));
    let durations = count(&registry, "http.client.request.duration");
    let labels: Vec<_> = durations.iter().map(|(labels, count)| (labels[1..5].join(" "), *count)).collect();
    assert_eq!(labels, [("404 404 ::1 3000".to_owned(), 1.0), ("404 404 app.internal 80".to_owned(), 3.0)]);
}

#[test]
fn what_is_under_way_goes_up_and_comes_down() {
    let registry = Registry::new();
    let catalogue = Catalogue::new(&registry).unwrap();
    let shard = registry.shard();
    let listener = ListenerMetrics::new(&catalogue, &shard, "web");
    let first = listener.enter(&Method::GET, true);
    let second = listener.enter(&Method::GET, true);
    // A reload makes new handles; the requests under way are still counted.
    let after_reload = ListenerMetrics::new(&catalogue, &shard, "web");
    after_reload.leave(first);
    let active = || count(&registry, "http.server.active_requests");
    assert_eq!(active(), [(vec!["GET".to_owned(), "https".to_owned(), "web".to_owned()], 1.0)]);
    listener.leave(second);
    assert_eq!(active()[0].1, 0.0);
}

#[test]
fn limits_retries_and_websockets_are_counted_by_name() {
    let registry = Registry::new();
    let (_, route) = route(&registry);
    let limit: Arc<str> = "per-client".into();
    route.count_limit(&limit, true);
    route.count_limit(&limit, true);
    route.count_limit(&"per-client".into(), false);
    let decisions: Vec<_> = count(&registry, "tidegate.limit.decisions").into_iter().map(|(_, count)| count).collect();
    assert_eq!(decisions, [2.0, 1.0]);

    route.count_retry();
    assert_eq!(count(&registry, "tidegate.retries"), [(vec!["app".to_owned()], 1.0)]);

    route.websocket_opened();
    route.websocket_opened();
    route.websocket_closed(Duration::from_secs(2), 5, 7);
    assert_eq!(count(&registry, "tidegate.websocket.active")[0].1, 1.0);
    assert_eq!(count(&registry, "tidegate.websocket.sessions")[0].1, 2.0);
    let io: Vec<_> = count(&registry, "tidegate.websocket.io").into_iter().map(|(_, count)| count).collect();
    assert_eq!(io, [5.0, 7.0]);
}
