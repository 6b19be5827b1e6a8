//! `docs/metrics.md`, written from the catalogue and held in step with it.
//! It knows no metric that the catalogue does not have.

use std::fmt::Write;
use std::path::Path;

use super::catalogue::{Catalogue, Entry};
use super::{Kind, Registry};
use crate::error::Reason;

const OPENING: &str = "\
# Metrics

<!-- Written from the catalogue. To renew it: UPDATE_DOCS=1 cargo test -p tidegate --lib metrics::reference -->

Every metric of Tidegate's own. All leave in three ways, from one snapshot: a scrape in the classic text format, a scrape in
OpenMetrics (with exemplars: the trace and span of the latest sampled request in each bucket), and OTLP. Label values come
from closed sets or from the configuration, never from what a client sends. A label without a value is left out. Values are
summed over the workers; counters and histograms count since the process began.

OTLP has the name and the labels as they stand here. A scrape has the second name, and labels with `_` for `.`.
In OTLP `http.response.status_code` and `server.port` are integers, and a gauge of things (`{request}`) or bytes is an
UpDownCounter. A histogram `x` is scraped as `x_bucket`, `x_sum` and `x_count`.

A plugin's own metrics follow the same rules and carry the label `plugin`.
";

fn reference() -> String {
    let mut text = OPENING.to_owned();
    for (title, entries) in Catalogue::ENTRIES {
        let _ = write!(text, "\n## {title}\n");
        for entry in entries {
            write_entry(&mut text, entry);
        }
    }
    text.push_str("\n## Error reasons\n\n");
    text.push_str(
        "The word in `reason` and `error.type`, the log line, the span and the body; who caused it; and the status\n",
    );
    text.push_str("that we answer with where an answer is still possible.\n\n");
    text.push_str("| Reason | Source | Status | Meaning |\n| --- | --- | --- | --- |\n");
    for reason in Reason::ALL {
        let status = reason.status().as_u16();
        let _ = writeln!(text, "| `{reason}` | {} | {status} | {} |", reason.source().as_str(), reason.describe());
    }
    text
}

fn write_entry(text: &mut String, entry: &Entry) {
    let scrape = super::definition::Family::new(entry.definition()).unwrap().scrape_name();
    let unit = if entry.unit.is_empty() { "no unit".to_owned() } else { format!("unit `{}`", entry.unit) };
    let _ = write!(text, "\n### `{}`\n\n", entry.name);
    let _ = write!(text, "{}\n\n", entry.help());
    let _ = writeln!(text, "`{scrape}`, {}, {unit}.", entry.kind.as_str());
    if !entry.labels.is_empty() {
        text.push_str("\n| Label | Values |\n| --- | --- |\n");
        for (name, values) in entry.labels {
            let _ = writeln!(text, "| `{name}` | {values} |");
        }
    }
    if entry.kind == Kind::Histogram {
        let bounds: Vec<_> = entry.buckets.iter().map(f64::to_string).collect();
        let _ = write!(text, "\nBuckets: {}.\n", bounds.join(", "));
    }
}

#[test]
fn the_reference_is_in_step() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/metrics.md");
    let wanted = reference();
    if std::env::var_os("UPDATE_DOCS").is_some() {
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(&path, &wanted).unwrap();
    }
    let found = std::fs::read_to_string(&path).unwrap_or_default();
    assert!(found == wanted, "docs/metrics.md is not what the catalogue says; run with UPDATE_DOCS=1");
}

#[test]
fn every_metric_has_a_name_of_its_own_and_a_sentence() {
    let registry = Registry::new();
    Catalogue::new(&registry).unwrap();
    let again = Catalogue::new(&registry);
    assert!(again.is_ok(), "{again:?}");
    let mut names: Vec<_> = Catalogue::ENTRIES.iter().flat_map(|(_, entries)| entries.iter()).collect();
    for entry in &names {
        assert!(entry.help().ends_with('.'), "{}", entry.name);
    }
    let all = names.len();
    names.sort_by_key(|entry| entry.name);
    names.dedup_by_key(|entry| entry.name);
    assert_eq!(names.len(), all);
}
