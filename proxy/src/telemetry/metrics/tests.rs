//! What a scraper and a collector see.

use std::io::Write;
use std::process::{Command, Stdio};
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, UNIX_EPOCH};

use opentelemetry_proto::tonic::collector::metrics::v1::ExportMetricsServiceRequest;
use opentelemetry_proto::tonic::common::v1::{KeyValue, any_value};
use opentelemetry_proto::tonic::metrics::v1::{AggregationTemporality, Metric, metric, number_data_point};

use super::catalogue::Catalogue;
use super::{Conflict, Definition, Exemplar, Kind, Observations, Registry, Scraper, Value, name, open_metrics};

const OPEN_METRICS: Option<&str> = Some("application/openmetrics-text; version=1.0.0");

fn text(registry: &Registry) -> String {
    let families = super::classic::families(&registry.gather());
    prometheus::TextEncoder::new().encode_to_string(&families).unwrap()
}

/// A registry with one of each kind, odd labels and an exemplar.
fn example() -> Registry {
    let registry = Registry::new();
    let (here, there, shared) = (registry.shard(), registry.shard(), registry.shared());
    let orders = Definition::counter("checkout.orders", "{order}", "Orders.", &["plugin", "app.tenant"]);
    let orders = registry.define(orders).unwrap();
    here.counter(&orders, &["checkout", "acme"]).add(2);
    there.counter(&orders, &["checkout", "acme"]).inc();
    there.counter(&orders, &["checkout", "a\\b\"c\nd"]).add(7);
    here.counter(&orders, &["checkout", ""]).add(u64::pow(2, 53) + 1);
    let busy = registry.define(Definition::counter("busy", "s", "Time.\nTwo \\ lines.", &[])).unwrap();
    here.counter(&busy, &[]).add_f64(0.25);
    there.counter(&busy, &[]).add_f64(1.5);
    let full = registry.define(Definition::gauge("pool.full", "1", "How full.", &[])).unwrap();
    shared.gauge(&full, &[]).set(0.5);
    let duration = Definition::histogram("checkout.duration", "s", "How long.", &["plugin"], &[0.1, 1.0]);
    let duration = registry.define(duration).unwrap();
    let series = here.histogram(&duration, &["checkout"]);
    series.record(0.1);
    series.record_with_exemplar(0.5, 0x4bf9, 0x00f0);
    there.histogram(&duration, &["checkout"]).record(2.0);
    registry
}

#[test]
fn the_classic_text_is_as_it_was() {
    let wanted = r#"# HELP busy_seconds_total Time.\nTwo \\ lines.
# TYPE busy_seconds_total counter
busy_seconds_total 1.75
# HELP checkout_duration_seconds How long.
# TYPE checkout_duration_seconds histogram
checkout_duration_seconds_bucket{plugin="checkout",le="0.1"} 1
checkout_duration_seconds_bucket{plugin="checkout",le="1"} 2
checkout_duration_seconds_bucket{plugin="checkout",le="+Inf"} 3
checkout_duration_seconds_sum{plugin="checkout"} 2.6
checkout_duration_seconds_count{plugin="checkout"} 3
# HELP checkout_orders_total Orders.
# TYPE checkout_orders_total counter
checkout_orders_total{plugin="checkout"} 9007199254740992
checkout_orders_total{plugin="checkout",app_tenant="a\\b\"c\nd"} 7
checkout_orders_total{plugin="checkout",app_tenant="acme"} 3
# HELP pool_full_ratio How full.
# TYPE pool_full_ratio gauge
pool_full_ratio 0.5
"#;
    assert_eq!(text(&example()), wanted);
}

#[test]
fn the_open_metrics_text_is_as_it_was() {
    let mut snapshot = example().gather();
    for point in snapshot.families.iter_mut().flat_map(|measured| &mut measured.points) {
        if let Value::Histogram(observations) = &mut point.value {
            let exemplars = observations.exemplars.iter_mut().flatten();
            exemplars.for_each(|exemplar| exemplar.at = UNIX_EPOCH + Duration::from_millis(1_767_225_600_042));
        }
    }
    let wanted = r#"# HELP busy_seconds Time.\nTwo \\ lines.
# TYPE busy_seconds counter
# UNIT busy_seconds seconds
busy_seconds_total 1.75
# HELP checkout_duration_seconds How long.
# TYPE checkout_duration_seconds histogram
# UNIT checkout_duration_seconds seconds
checkout_duration_seconds_bucket{plugin="checkout",le="0.1"} 1
checkout_duration_seconds_bucket{plugin="checkout",le="1.0"} 2 # {trace_id="00000000000000000000000000004bf9",span_id="00000000000000f0"} 0.5 1767225600.042
checkout_duration_seconds_bucket{plugin="checkout",le="+Inf"} 3
checkout_duration_seconds_sum{plugin="checkout"} 2.6
checkout_duration_seconds_count{plugin="checkout"} 3
# HELP checkout_orders Orders.
# TYPE checkout_orders counter
checkout_orders_total{plugin="checkout"} 9007199254740993
checkout_orders_total{plugin="checkout",app_tenant="a\\b\"c\nd"} 7
checkout_orders_total{plugin="checkout",app_tenant="acme"} 3
# HELP pool_full_ratio How full.
# TYPE pool_full_ratio gauge
# UNIT pool_full_ratio ratio
pool_full_ratio 0.5
# EOF
"#;
    assert_eq!(open_metrics::encode(&snapshot), wanted);
}

/// One line for each number in the request, in the names of a scrape.
fn otlp_samples(request: &ExportMetricsServiceRequest) -> Vec<String> {
    let metrics = &request.resource_metrics[0].scope_metrics[0].metrics;
    let mut samples: Vec<_> = metrics.iter().flat_map(metric_samples).collect();
    samples.sort();
    samples
}

fn metric_samples(metric: &Metric) -> Vec<String> {
    let scrape = |kind| name::scrape(&metric.name, &metric.unit, kind).0;
    let number = |value: Option<number_data_point::Value>| match value.unwrap() {
        number_data_point::Value::AsInt(value) => (value as f64).to_string(),
        number_data_point::Value::AsDouble(value) => value.to_string(),
    };
    match metric.data.as_ref().unwrap() {
        metric::Data::Sum(sum) => {
            assert_eq!(sum.aggregation_temporality, AggregationTemporality::Cumulative as i32);
            assert!(sum.data_points.iter().all(|point| point.start_time_unix_nano > 0));
            let (kind, suffix) = if sum.is_monotonic { (Kind::Counter, "_total") } else { (Kind::Gauge, "") };
            let base = scrape(kind);
            let points = sum.data_points.iter();
            points
                .map(|point| format!("{base}{suffix}{} {}", braces(&point.attributes, ""), number(point.value)))
                .collect()
        }
        metric::Data::Gauge(gauge) => {
            let base = scrape(Kind::Gauge);
            let points = gauge.data_points.iter();
            points.map(|point| format!("{base}{} {}", braces(&point.attributes, ""), number(point.value))).collect()
        }
        metric::Data::Histogram(histogram) => {
            assert_eq!(histogram.aggregation_temporality, AggregationTemporality::Cumulative as i32);
            let base = scrape(Kind::Histogram);
            let points = histogram.data_points.iter().flat_map(|point| {
                assert!(point.start_time_unix_nano > 0 && point.time_unix_nano >= point.start_time_unix_nano);
                let bounds = point.explicit_bounds.iter().map(f64::to_string).chain(["+Inf".to_owned()]);
                let mut sum = 0;
                let mut samples: Vec<_> = bounds
                    .zip(&point.bucket_counts)
                    .map(|(bound, count)| {
                        sum += count;
                        format!("{base}_bucket{} {sum}", braces(&point.attributes, &format!("le=\"{bound}\"")))
                    })
                    .collect();
                let plain = braces(&point.attributes, "");
                samples.push(format!("{base}_sum{plain} {}", point.sum.unwrap()));
                samples.push(format!("{base}_count{plain} {}", point.count));
                samples
            });
            points.collect()
        }
        other => panic!("{other:?}"),
    }
}

fn braces(attributes: &[KeyValue], last: &str) -> String {
    let pairs = attributes.iter().map(|attribute| {
        let value = match attribute.value.as_ref().and_then(|value| value.value.as_ref()).unwrap() {
            any_value::Value::StringValue(text) => text.replace('\\', "\\\\").replace('\n', "\\n").replace('"', "\\\""),
            any_value::Value::IntValue(number) => number.to_string(),
            other => panic!("{other:?}"),
        };
        format!("{}=\"{value}\"", name::label(&attribute.key))
    });
    let pairs: Vec<_> = pairs.chain((!last.is_empty()).then(|| last.to_owned())).collect();
    if pairs.is_empty() { String::new() } else { format!("{{{}}}", pairs.join(",")) }
}

#[test]
fn otlp_says_what_the_scrape_says() {
    let registry = example();
    let catalogue = Catalogue::new(&registry).unwrap();
    let values = ["GET", "200", "2", "https", "", "/users/{id}", "web"];
    registry.shard().histogram(&catalogue.http.server_request_duration, &values).record(0.02);

    let text = text(&registry);
    let mut scraped: Vec<_> = text.lines().filter(|line| !line.starts_with('#')).map(str::to_owned).collect();
    scraped.sort();
    let request = registry.gather().otlp(&[("service.name", "edge")]);
    assert_eq!(otlp_samples(&request), scraped);

    let resource = &request.resource_metrics[0];
    assert_eq!(braces(&resource.resource.as_ref().unwrap().attributes, ""), r#"{service_name="edge"}"#);
    assert_eq!(resource.scope_metrics[0].scope.as_ref().unwrap().name, "tidegate");
}

#[test]
fn otlp_keeps_names_units_integers_and_exemplars() {
    let request = example().gather().otlp::<&str, &str>(&[]);
    let metrics = &request.resource_metrics[0].scope_metrics[0].metrics;
    let find = |name| metrics.iter().find(|metric| metric.name == name).unwrap();

    let orders = find("checkout.orders");
    assert_eq!((orders.unit.as_str(), orders.description.as_str()), ("{order}", "Orders."));
    let Some(metric::Data::Sum(sum)) = &orders.data else { panic!("{orders:?}") };
    assert_eq!(sum.data_points[0].value, Some(number_data_point::Value::AsInt(9_007_199_254_740_993)));
    assert_eq!(sum.data_points[2].attributes[1].key, "app.tenant");

    let Some(metric::Data::Histogram(histogram)) = &find("checkout.duration").data else { panic!() };
    let [exemplar] = histogram.data_points[0].exemplars.as_slice() else { panic!() };
    assert_eq!(exemplar.trace_id, 0x4bf9_u128.to_be_bytes());
    assert_eq!(exemplar.span_id, 0x00f0_u64.to_be_bytes());
    assert!(exemplar.time_unix_nano > 0);
}

#[test]
fn a_handle_that_is_asked_for_again_counts_on() {
    let registry = Registry::new();
    let define = || registry.define(Definition::counter("a", "", "A.", &["x"])).unwrap();
    let shard = registry.shard();
    shard.counter(&define(), &["1"]).add(3);
    shard.counter(&define(), &["1"]).add(4);
    drop(shard);
    assert_eq!(registry.gather().value("a", &[("x", "1")]).unwrap().as_f64(), 7.0);
}

#[test]
fn a_series_that_is_forgotten_is_gone_and_begins_anew() {
    let registry = Registry::new();
    let family = registry.define(Definition::gauge("a", "", "A.", &["x"])).unwrap();
    let shard = registry.shard();
    shard.gauge(&family, &["1"]).set(3.0);
    registry.shared().gauge(&family, &["1"]).set(3.0);
    registry.forget(&family, &["1"]);
    assert!(registry.gather().families.is_empty());
    shard.gauge(&family, &["1"]).inc();
    assert_eq!(registry.gather().value("a", &[("x", "1")]).unwrap().as_f64(), 1.0);
}

#[test]
fn amounts_that_make_no_sense_are_refused() {
    let registry = Registry::new();
    let shard = registry.shard();
    let counter = shard.counter(&registry.define(Definition::counter("c", "", "C.", &[])).unwrap(), &[]);
    let gauge = shard.gauge(&registry.define(Definition::gauge("g", "", "G.", &[])).unwrap(), &[]);
    let histogram = shard.histogram(&registry.define(Definition::histogram("h", "", "H.", &[], &[1.0])).unwrap(), &[]);
    for odd in [f64::NAN, f64::INFINITY, f64::NEG_INFINITY] {
        assert!(!counter.add_f64(odd) && !gauge.set(odd) && !gauge.add(odd) && !histogram.record(odd));
    }
    assert!(!counter.add_f64(-1.0) && !histogram.record(-1.0) && gauge.add(-1.0));
    assert!(counter.add_f64(1e300) && counter.add_f64(2.0) && counter.add_f64(0.5) && histogram.record(0.0));
    assert_eq!((counter.get(), gauge.get()), (1e300, -1.0));
}

#[test]
fn a_total_that_is_counted_elsewhere_never_goes_down() {
    let registry = Registry::new();
    let family = registry.define(Definition::counter("c", "", "C.", &[])).unwrap();
    let counter = registry.shared().counter(&family, &[]);
    let total = std::sync::Arc::new(std::sync::atomic::AtomicU64::new(5));
    let elsewhere = total.clone();
    registry.before_gather(move || counter.raise_to(elsewhere.load(Ordering::Relaxed)));
    let read = || registry.gather().value("c", &[]).unwrap().as_f64();
    assert_eq!(read(), 5.0);
    total.store(9, Ordering::Relaxed);
    assert_eq!(read(), 9.0);
    total.store(1, Ordering::Relaxed);
    assert_eq!(read(), 9.0);
}

#[test]
fn another_shape_under_the_same_name_names_both() {
    let registry = Registry::new();
    registry.define(Definition::counter("checkout.requests", "{request}", "Requests.", &["tenant"])).unwrap();
    let again = Definition::counter("checkout.requests", "{request}", "Other words.", &["tenant"]);
    assert!(registry.define(again).is_ok());

    let error = registry.define(Definition::gauge("checkout.requests", "{request}", "", &["tenant"])).unwrap_err();
    assert_eq!(
        error.to_string(),
        "metric `checkout.requests` cannot be a gauge in `{request}` by tenant: \
         `checkout.requests` is already a counter in `{request}` by tenant"
    );
    // Different in OTLP, the same in a scrape.
    let others = [
        Definition::counter("checkout_requests", "{request}", "", &["tenant"]),
        Definition::counter("checkout.requests", "{request}", "", &["kind"]),
        Definition::gauge("checkout.requests.total", "", "", &[]),
    ];
    for other in others {
        let error = registry.define(other).unwrap_err();
        assert!(matches!(&error, Conflict::Shape { existing, .. } if existing == "checkout.requests"), "{error}");
    }
    registry.define(Definition::histogram("a", "s", "", &[], &[1.0])).unwrap();
    assert!(registry.define(Definition::histogram("a", "s", "", &[], &[2.0])).is_err());
    assert!(registry.define(Definition::gauge("a.seconds.sum", "", "", &[])).is_err());
}

#[test]
fn a_definition_that_no_scrape_could_show_is_refused() {
    let registry = Registry::new();
    let wrong = [
        Definition::counter("", "", "", &[]),
        Definition::counter("1st", "", "", &[]),
        Definition::counter("a b", "", "", &[]),
        Definition::counter("a\n", "", "", &[]),
        Definition::counter("a", "s\n", "", &[]),
        Definition::counter("a", "", "", &["x", "x"]),
        Definition::counter("a", "", "", &["x.y", "x_y"]),
        Definition::counter("a", "", "", &["le"]),
        Definition::counter("a", "", "", &["__name__"]),
        Definition::counter("a", "", "", &["x\"y"]),
        Definition::histogram("a", "", "", &[], &[]),
        Definition::histogram("a", "", "", &[], &[2.0, 1.0]),
        Definition::histogram("a", "", "", &[], &[1.0, 1.0]),
        Definition::histogram("a", "", "", &[], &[f64::NAN]),
        Definition::histogram("a", "", "", &[], &[1.0, f64::INFINITY]),
    ];
    for definition in wrong {
        let error = registry.define(definition.clone());
        assert!(matches!(error, Err(Conflict::Invalid { .. })), "{definition:?}");
    }
}

#[test]
fn names_are_translated_by_the_standard() {
    let cases = [
        ("http.server.request.duration", "s", Kind::Histogram, "http_server_request_duration_seconds"),
        ("http.server.request.body.size", "By", Kind::Histogram, "http_server_request_body_size_bytes"),
        ("http.server.active_requests", "{request}", Kind::Gauge, "http_server_active_requests"),
        ("busy", "1", Kind::Gauge, "busy_ratio"),
        ("tries", "1", Kind::Counter, "tries"),
        ("process.cpu.seconds", "s", Kind::Counter, "process_cpu_seconds"),
        ("requests_total", "{request}", Kind::Counter, "requests"),
        ("speed", "m/s", Kind::Gauge, "speed_meters_per_second"),
        ("rate", "{packet}/s", Kind::Gauge, "rate_per_second"),
        ("disk.io", "KiBy/m", Kind::Gauge, "disk_io_kibibytes_per_meter"),
        ("a..b-c/d", "", Kind::Gauge, "a_b_c_d"),
        ("odd", "foo{bar}", Kind::Gauge, "odd_foo"),
    ];
    for (name, unit, kind, wanted) in cases {
        assert_eq!(name::scrape(name, unit, kind).0, wanted, "{name} {unit}");
    }
}

#[test]
fn the_latest_exemplar_of_all_shards_stands_for_its_bucket() {
    let registry = Registry::new();
    let family = registry.define(Definition::histogram("h", "s", "H.", &[], &[1.0])).unwrap();
    let (first, second) = (registry.shard().histogram(&family, &[]), registry.shard().histogram(&family, &[]));
    first.record_with_exemplar(0.1, 1, 1);
    first.record_with_exemplar(0.2, 2, 2);
    first.record(0.9);
    first.record_with_exemplar(5.0, 3, 0);
    let exemplar = |index: usize| match registry.gather().value("h", &[]).unwrap() {
        Value::Histogram(observations) => observations.exemplars[index],
        other => panic!("{other:?}"),
    };
    let Some(Exemplar { value, trace_id, span_id, at }) = exemplar(0) else { panic!("no exemplar") };
    assert_eq!((value, trace_id, span_id), (0.2, 2, 2));
    assert_eq!(exemplar(1), None, "a span id of zero is no span");
    while exemplar(0).unwrap().span_id != 9 {
        second.record_with_exemplar(0.3, u128::MAX, 9);
    }
    let latest = exemplar(0).unwrap();
    assert_eq!((latest.value, latest.trace_id), (0.3, u128::MAX));
    assert!(latest.at >= at);
}

#[test]
fn a_reader_never_sees_half_an_observation() {
    let registry = Registry::new();
    let family = registry.define(Definition::histogram("h", "", "H.", &[], &[1.0, 2.0])).unwrap();
    let (own, any) = (registry.shard(), registry.shared());
    let done = AtomicBool::new(false);
    std::thread::scope(|scope| {
        let write = |shard: super::Shard| {
            let histogram = shard.histogram(&family, &[]);
            let mut number = 1_u64;
            while !done.load(Ordering::Relaxed) {
                // Every observation is 2, so that the sum tells the count; the exemplar's three parts are one number.
                histogram.record_with_exemplar(2.0, u128::from(number) << 64 | u128::from(number), number);
                number += 1;
            }
        };
        let writers = [own, any.clone(), any].map(|shard| scope.spawn(move || write(shard)));
        let mut last = 0;
        for _ in 0..500 {
            let snapshot = registry.gather();
            let Some(Value::Histogram(observations)) = snapshot.value("h", &[]) else { continue };
            let Observations { sum, buckets, exemplars } = observations;
            assert_eq!(*sum, observations.count() as f64 * 2.0);
            assert_eq!((buckets[0], buckets[2]), (0, 0));
            assert!(observations.count() >= last, "a counter went down");
            last = observations.count();
            if let Some(exemplar) = exemplars[1] {
                let span = u128::from(exemplar.span_id);
                assert_eq!(exemplar.trace_id, span << 64 | span);
            }
        }
        done.store(true, Ordering::Relaxed);
        drop(writers);
    });
}

#[test]
fn nothing_that_any_thread_adds_is_lost() {
    let registry = Registry::new();
    let counter = registry.define(Definition::counter("c", "", "C.", &[])).unwrap();
    let gauge = registry.define(Definition::gauge("g", "", "G.", &[])).unwrap();
    let histogram = registry.define(Definition::histogram("h", "", "H.", &[], &[1.0])).unwrap();
    std::thread::scope(|scope| {
        for _ in 0..4 {
            scope.spawn(|| {
                let shared = registry.shared();
                let counter = shared.counter(&counter, &[]);
                let (gauge, histogram) = (shared.gauge(&gauge, &[]), shared.histogram(&histogram, &[]));
                for _ in 0..10_000 {
                    counter.add_f64(1.5);
                    counter.inc();
                    gauge.add(0.5);
                    histogram.record(0.5);
                }
            });
        }
    });
    let snapshot = registry.gather();
    let value = |name| snapshot.value(name, &[]).unwrap().as_f64();
    assert_eq!((value("c"), value("g"), value("h")), (100_000.0, 20_000.0, 40_000.0));
}

#[test]
fn the_format_is_the_one_that_is_asked_for() {
    let registry = Registry::new();
    let catalogue = Catalogue::new(&registry).unwrap();
    let scraper = Scraper::new(&registry, &catalogue).unwrap();
    // What Prometheus 2 and 3 send.
    let two = "application/openmetrics-text;version=1.0.0;q=0.5,application/openmetrics-text;version=0.0.1;q=0.4,\
               text/plain;version=0.0.4;q=0.3,*/*;q=0.2";
    let three = "application/openmetrics-text;version=1.0.0;escaping=allow-utf-8;q=0.5,\
                 application/openmetrics-text;version=0.0.1;q=0.4,text/plain;version=1.0.0;escaping=allow-utf-8;q=0.3,\
                 text/plain;version=0.0.4;q=0.2,*/*;q=0.1";
    for accept in [two, three, "application/openmetrics-text", "Application/OpenMetrics-Text; version=\"1.0.0\""] {
        let (content_type, body) = scraper.scrape(Some(accept)).unwrap();
        assert_eq!(content_type, "application/openmetrics-text; version=1.0.0; charset=utf-8", "{accept}");
        assert!(body.ends_with(b"# EOF\n"));
    }
    let classic = [
        None,
        Some(""),
        Some("*/*"),
        Some("text/plain"),
        Some("application/openmetrics-text;version=0.0.1"),
        Some("application/openmetrics-text;q=0"),
        Some("application/openmetrics-text;q=0.1, text/plain;q=0.2"),
        Some("\u{1};;;=,,q=;q=x"),
    ];
    for accept in classic {
        let (content_type, body) = scraper.scrape(accept).unwrap();
        assert_eq!(content_type, "text/plain; version=0.0.4; charset=utf-8", "{accept:?}");
        assert!(!body.ends_with(b"# EOF\n"));
    }
    let scrapes = registry.gather();
    let count = |format| scrapes.value("tidegate.telemetry.scrapes", &[("format", format)]).unwrap().as_f64();
    assert_eq!((count("text"), count("openmetrics")), (8.0, 4.0));
}

/// Every metric of the catalogue with a series, and this process.
fn whole_catalogue() -> (Registry, Scraper) {
    let registry = Registry::new();
    let catalogue = Catalogue::new(&registry).unwrap();
    let shard = registry.shard();
    for entry in Catalogue::ENTRIES.iter().flat_map(|(_, entries)| entries.iter()) {
        if entry.name.starts_with("process.") || entry.name == "tidegate.build_info" {
            continue;
        }
        let family = registry.define(entry.definition()).unwrap();
        let values = vec!["x"; entry.labels.len()];
        match entry.kind {
            Kind::Counter => shard.counter(&family, &values).inc(),
            Kind::Gauge => shard.gauge(&family, &values).inc(),
            Kind::Histogram => _ = shard.histogram(&family, &values).record_with_exemplar(0.01, 1, 1),
        }
    }
    super::process::publish(&registry, &catalogue.runtime);
    let scraper = Scraper::new(&registry, &catalogue).unwrap();
    (registry, scraper)
}

#[test]
#[cfg(target_os = "linux")]
fn the_process_shows_itself_by_the_usual_names() {
    let (registry, _) = whole_catalogue();
    let text = text(&registry);
    let value = |name: &str| {
        let line = text.lines().find(|line| line.strip_prefix(name).is_some_and(|rest| rest.starts_with(' ')));
        line.and_then(|line| line.rsplit(' ').next()?.parse::<f64>().ok()).unwrap_or_else(|| panic!("no {name}"))
    };
    assert!(value("process_resident_memory_bytes") > 1e6);
    assert!(value("process_virtual_memory_bytes") >= value("process_resident_memory_bytes"));
    assert!(value("process_open_fds") >= 3.0 && value("process_open_fds") <= value("process_max_fds"));
    assert!(value("process_threads") >= 1.0);
    assert!(value("process_cpu_seconds_total") >= 0.0);
    let now = std::time::SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_secs_f64();
    assert!(value("process_start_time_seconds") <= now + 1.0 && value("process_start_time_seconds") > 1e9);
    assert!(text.contains("tidegate_build_info{version=\""));
}

#[test]
fn promtool_has_nothing_to_say_where_it_is_installed() {
    let (_, scraper) = whole_catalogue();
    let (_, body) = scraper.scrape(None).unwrap();
    let mut promtool = Command::new("promtool");
    promtool.args(["check", "metrics"]).stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let Ok(mut promtool) = promtool.spawn() else { return };
    promtool.stdin.take().unwrap().write_all(&body).unwrap();
    let output = promtool.wait_with_output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
}

#[test]
fn each_family_stands_once_and_every_line_is_well_formed() {
    let (_, scraper) = whole_catalogue();
    let (_, body) = scraper.scrape(OPEN_METRICS).unwrap();
    let body = String::from_utf8(body).unwrap();
    let mut types = std::collections::HashSet::new();
    for line in body.lines() {
        if let Some(name) = line.strip_prefix("# TYPE ") {
            assert!(types.insert(name), "{name} twice");
        } else if !line.starts_with('#') {
            let sample = line.split(" # ").next().unwrap();
            let value = sample.rsplit(' ').next().unwrap();
            assert!(value.parse::<f64>().is_ok(), "{line}");
        }
    }
    let entries: usize = Catalogue::ENTRIES.iter().map(|(_, entries)| entries.len()).sum();
    assert!(types.len() >= entries - 7, "{}", types.len());
}
