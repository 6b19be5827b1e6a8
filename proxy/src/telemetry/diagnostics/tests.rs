//! What an operator reads on standard error.

use super::*;
use crate::telemetry::tests::Scratch;

fn written(json: bool, level: LevelFilter, say: impl FnOnce()) -> String {
    let scratch = Scratch::new(&format!("diagnostics-{json}-{level}"));
    let path = scratch.file("lines");
    let writer = Writer::start("test", Output::File(path.clone()), None).unwrap();
    let lines = Lines { sender: writer.sender(), level, json };
    tracing::subscriber::with_default(Registry::default().with(lines), say);
    writer.shutdown(Duration::from_secs(30));
    std::fs::read_to_string(path).unwrap_or_default()
}

#[test]
fn a_line_is_json_with_its_fields_and_cannot_be_forged() {
    let text = written(true, LevelFilter::INFO, || {
        tracing::info!(correlation_id = "0198", plugin = "a\"\n{", count = 7, ok = true, "hello\nworld");
        tracing::debug!("not said");
        tracing::info!(target: "h2::frame", "not ours");
        tracing::warn!(target: "h2::frame", "theirs");
    });
    let lines: Vec<serde_json::Value> = text.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert_eq!(lines.len(), 2, "{text}");
    assert_eq!(lines[0]["message"], "hello\nworld");
    assert_eq!(lines[0]["level"], "info");
    assert_eq!(lines[0]["correlation_id"], "0198");
    assert_eq!(lines[0]["plugin"], "a\"\n{");
    assert_eq!((&lines[0]["count"], &lines[0]["ok"]), (&7.into(), &true.into()));
    assert!(lines[0]["timestamp"].as_str().unwrap().ends_with('Z'));
    assert_eq!(lines[1]["target"], "h2::frame");
}

#[test]
fn a_terminal_gets_text() {
    let text = written(false, LevelFilter::DEBUG, || tracing::debug!(plugin = "a b", "hello\x1b[31m\nworld"));
    assert!(text.ends_with(" debug hello [31m world plugin=\"a b\"\n"), "{text}");
}

#[test]
fn a_burst_is_not_cut_short() {
    let text = written(true, LevelFilter::INFO, || (0..1000).for_each(|number| tracing::warn!(number, "one of many")));
    assert_eq!(text.lines().count(), 1000);
}
