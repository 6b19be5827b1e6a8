//! The end of the demo: what arrived where, and whether all did.
//! It judges only what was received.

use super::frame;
use super::observed::{Log, Observed, PUSHED, SCRAPED};
use super::trace::Kinds;

/// One line each for the scrape, OTLP and the log.
#[derive(Debug)]
pub(super) struct Report([Row; 3]);

#[derive(Debug)]
struct Row {
    from: &'static str,
    /// What arrived, or what did not.
    outcome: Result<String, String>,
}

// === impl Report ===

impl Report {
    pub(super) fn new(observed: &Observed) -> Self {
        let row = |from, outcome| Row { from, outcome };
        Self([row("scrape", scrape(observed)), row("otlp", otlp(observed)), row("log", log(&observed.log))])
    }

    /// Whether everything arrived.
    pub(super) fn complete(&self) -> bool {
        self.0.iter().all(|row| row.outcome.is_ok())
    }

    pub(super) fn lines(&self) -> Vec<String> {
        let line = |Row { from, outcome }: &Row| match outcome {
            Ok(text) => format!("{from:<6}  ok  {text}"),
            Err(text) => format!("{from:<6}  MISSING  {text}"),
        };
        self.0.iter().map(line).collect()
    }
}

fn scrape(observed: &Observed) -> Result<String, String> {
    let samples = observed.scrape.as_ref().ok_or("no scrape was answered")?;
    if samples.sum(SCRAPED, None) < 1.0 {
        return Err(format!("{SCRAPED} counted nothing"));
    }
    Ok(format!("{SCRAPED}  {}", frame::kinds(samples, "  ")))
}

fn otlp(observed: &Observed) -> Result<String, String> {
    let Observed { spans, kinds: Kinds { server, plugin, client }, metrics, plugin_metric, .. } = observed;
    let missing = [
        (*server == 0, "no server span"),
        (*plugin == 0, "no plugin span under its server span"),
        (*client == 0, "no attempt under its server span"),
        (!plugin_metric, "no metric of the plugin"),
    ];
    let missing: Vec<_> = missing.into_iter().filter_map(|(absent, what)| absent.then_some(what)).collect();
    if !missing.is_empty() {
        return Err(format!("{} ({spans} spans, {metrics} metrics)", missing.join(", ")));
    }
    Ok(format!("{spans} spans, plugin span under its server span; {metrics} metrics, {PUSHED} among them"))
}

fn log(log: &Log) -> Result<String, String> {
    let Log { lines, with_correlation, with_kind, .. } = *log;
    let on_each = |count| if count == lines { "each".to_owned() } else { format!("{count}") };
    if lines == 0 {
        return Err("no line".to_owned());
    }
    if with_correlation < lines || with_kind < lines {
        return Err(format!(
            "{lines} lines, correlation_id on {}, kind on {}",
            on_each(with_correlation),
            on_each(with_kind)
        ));
    }
    Ok(format!("{lines} lines, correlation_id and kind on each"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli::demo::scrape::Samples;

    fn all() -> Observed {
        Observed {
            scrape: Some(Samples::parse("requests_by_kind_total{kind=\"api\"} 812\n")),
            spans: 412,
            kinds: Kinds { server: 200, plugin: 100, client: 112 },
            metrics: 31,
            plugin_metric: true,
            log: Log { lines: 412, with_correlation: 412, with_kind: 412, latest: None },
            ..Observed::default()
        }
    }

    #[test]
    fn says_what_arrived() {
        let report = Report::new(&all());
        assert!(report.complete());
        assert_eq!(
            report.lines(),
            [
                "scrape  ok  requests_by_kind_total  api 812",
                "otlp    ok  412 spans, plugin span under its server span; 31 metrics, requests_by_kind among them",
                "log     ok  412 lines, correlation_id and kind on each",
            ]
        );
    }

    #[test]
    fn says_what_did_not() {
        let nothing = Report::new(&Observed::default());
        assert!(!nothing.complete());
        assert!(nothing.lines().iter().all(|line| line.contains("MISSING")));
        let mut observed = all();
        observed.kinds.plugin = 0;
        observed.log.with_kind = 400;
        let report = Report::new(&observed);
        assert!(!report.complete());
        let lines = report.lines().join("\n");
        assert!(lines.contains("otlp    MISSING  no plugin span under its server span"), "{lines}");
        assert!(lines.contains("log     MISSING  412 lines, correlation_id on each, kind on 400"), "{lines}");
    }
}
