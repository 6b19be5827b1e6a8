//! The lines of the live view, from what has arrived.
//! It writes nothing, and does not know how wide the screen is.

use std::net::SocketAddr;
use std::num::NonZeroU32;
use std::time::Instant;

use serde_json::Value;

use super::observed::{Observed, SCRAPED};
use super::scrape::Samples;
use super::setup::{PREFERRED, Setup};
use crate::supervisor::Ready;

/// How many plugins the embedded configuration has; a test of `setup` holds it.
pub(super) const PLUGINS: usize = 2;

/// What is shown of a log line where there is little room.
const TELLING: [&str; 4] = ["correlation_id", "route", "kind", "status"];

/// What stays as it is: where everything is.
pub(super) fn header(ready: &Ready, setup: &Setup, rate: NonZeroU32) -> Vec<String> {
    let workers = if ready.workers == 1 { "worker" } else { "workers" };
    let title = format!(
        "tidegate {}  demo: {} {workers}, {PLUGINS} plugins, {rate} requests/s of sample traffic      (Ctrl-C ends it)",
        env!("CARGO_PKG_VERSION"),
        ready.workers,
    );
    let mut lines = vec![title];
    for (_, address) in &ready.listeners {
        lines.push(format!("  proxy    http://{address}        try: curl -i localhost:{}/users/42", address.port()));
    }
    if let Some(admin) = ready.admin {
        lines.push(format!("  metrics  http://{admin}/metrics"));
        lines.push(format!("  admin    http://{admin}"));
    }
    let free = |taken: &u16| replaced(*taken, ready).map(|port| format!("port {taken} is taken, so {port} it is"));
    let replaced: Vec<_> = setup.taken.iter().filter_map(free).collect();
    if !replaced.is_empty() {
        lines.push(format!("  note     {}", replaced.join("; ")));
    }
    lines.push(String::new());
    lines
}

/// The port that stands in for one that is taken.
fn replaced(taken: u16, ready: &Ready) -> Option<u16> {
    let address = if taken == PREFERRED.admin { ready.admin } else { ready.listeners.first().map(|(_, web)| *web) };
    address.as_ref().map(SocketAddr::port)
}

/// What changes all the time, on one line each.
pub(super) fn figures(observed: &Observed) -> Vec<String> {
    let mut requests = match observed.window.figures(Instant::now()) {
        None => "  requests   …".to_owned(),
        Some(figures) => format!(
            "  requests   {:.1}/s    p50 {:.1} ms   p99 {:.0} ms    5xx {:.1} %    limited {:.1} %",
            figures.per_second,
            figures.p50_ms,
            figures.p99_ms,
            figures.failed * 100.0,
            figures.limited * 100.0,
        ),
    };
    let mut plugin = format!("  plugin     classify   {SCRAPED}   …");
    if let Some(samples) = &observed.scrape {
        let open = samples.sum("tidegate_websocket_active", None);
        requests.push_str(&format!("    breaker {}    websockets {open}", breaker(samples)));
        plugin = format!("  plugin     classify   {SCRAPED}   {}", kinds(samples, "   "));
    }
    vec![requests, plugin]
}

/// The latest trace and the latest line of the log; of the line only what tells most, where it is to be brief.
pub(super) fn latest(observed: &Observed, be_brief: bool) -> Vec<String> {
    let mut lines = match &observed.trace {
        None => vec!["  trace      …".to_owned()],
        Some(trace) => trace.lines().into_iter().map(|line| format!("  {line}")).collect(),
    };
    let line = observed.log.latest.as_deref().unwrap_or("…");
    let shown = if be_brief { brief(line) } else { None };
    lines.push(format!("  log        {}", shown.as_deref().unwrap_or(line)));
    lines
}

/// The fields of a log line that tell most, as they stand in it.
fn brief(line: &str) -> Option<String> {
    let fields: Value = serde_json::from_str(line).ok()?;
    let shown = TELLING.iter().filter_map(|name| {
        let value = match (fields.get(*name)?, *name) {
            // The last characters tell ids apart; the first ones are the time.
            (Value::String(id), "correlation_id") => {
                let skipped = id.chars().count().saturating_sub(4);
                Value::from(format!("…{}", id.chars().skip(skipped).collect::<String>()))
            }
            (value, _) => value.clone(),
        };
        Some(format!("\"{name}\":{value},"))
    });
    Some(format!("{{{}…}}", shown.collect::<String>()))
}

/// The plugin's metric, class by class, the most frequent first.
pub(super) fn kinds(samples: &Samples, between: &str) -> String {
    let mut all: Vec<_> = samples.named(SCRAPED).collect();
    all.sort_by(|one, other| other.value.total_cmp(&one.value));
    let all = all.into_iter().filter_map(|sample| Some(format!("{} {}", sample.label("kind")?, sample.value)));
    let all = all.collect::<Vec<_>>().join(between);
    if all.is_empty() { "…".to_owned() } else { all }
}

/// The state of the breakers: that of the first one that is not closed, with the name of its upstream.
fn breaker(samples: &Samples) -> String {
    let mut states = samples.named("tidegate_breaker_state");
    match states.find(|state| state.value > 0.0) {
        None => "closed".to_owned(),
        Some(state) => {
            let word = if state.value < 1.0 { "half open" } else { "open" };
            format!("{word} ({})", state.label("upstream").unwrap_or_default())
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;

    #[test]
    fn says_which_port_stands_in_for_which() {
        let any = SocketAddr::from(([127, 0, 0, 1], 1));
        let rate = NonZeroU32::new(40).unwrap();
        let mut setup = Setup::new(any, any, std::path::Path::new("/tmp/log"), rate, PREFERRED);
        setup.taken = vec![8080, 9901];
        let ready = Ready {
            listeners: vec![(Arc::from("web"), SocketAddr::from(([127, 0, 0, 1], 40001)))],
            admin: Some(SocketAddr::from(([127, 0, 0, 1], 40002))),
            workers: 1,
        };
        let text = header(&ready, &setup, rate).join("\n");
        assert!(text.contains("port 8080 is taken, so 40001 it is; port 9901 is taken, so 40002 it is"), "{text}");
        assert!(text.contains("curl -i localhost:40001/users/42"), "{text}");
    }

    #[test]
    fn shows_nothing_that_has_not_arrived() {
        let text = figures(&Observed::default()).join("\n") + &latest(&Observed::default(), true).join("\n");
        assert!(!text.contains(|letter: char| letter.is_ascii_digit()), "{text}");
    }

    #[test]
    fn what_nobody_has_counted_yet_is_nothing() {
        let scrape = Some(Samples::parse(""));
        let text = figures(&Observed { scrape, ..Observed::default() }).join("\n");
        assert!(text.contains("websockets 0") && text.ends_with(&format!("{SCRAPED}   …")), "{text}");
    }

    #[test]
    fn a_brief_log_line_has_what_plugins_gave() {
        let line = r#"{"timestamp":"now","correlation_id":"01a1fd99-45c4","route":"users","status":200,"kind":"api"}"#;
        let expected = r#"{"correlation_id":"…45c4","route":"users","kind":"api","status":200,…}"#;
        assert_eq!(brief(line).as_deref(), Some(expected));
    }

    #[test]
    fn names_the_breaker_that_is_open() {
        let samples = Samples::parse("tidegate_breaker_state{upstream=\"app\"} 0\n");
        assert_eq!(breaker(&samples), "closed");
        let samples = Samples::parse(
            "tidegate_breaker_state{upstream=\"app\"} 0\ntidegate_breaker_state{upstream=\"flaky\"} 1\n",
        );
        assert_eq!(breaker(&samples), "open (flaky)");
    }
}
