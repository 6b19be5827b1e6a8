//! What is seen of a case from outside, and whether it is what was promised.
//! It knows the outputs of the proxy, and no case.

use serde_json::Value as Json;
use tidegate_tests::{Answer, Collector, Proxy, Span};

use super::case::Expect;

/// Everything that was seen so far.
pub struct Seen<'a> {
    pub own: &'a str,
    pub proxy: &'a Proxy,
    pub collector: &'a Collector,
    /// Requests at the origin.
    pub upstream: Vec<tidegate_tests::Seen>,
    pub answer: Option<&'a Answer>,
}

/// Says what was found instead.
fn same<T: PartialEq + std::fmt::Debug>(what: &str, found: &T, wanted: &T) -> Result<(), String> {
    if found == wanted { Ok(()) } else { Err(format!("{what}: {found:?}, promised {wanted:?}")) }
}

impl Seen<'_> {
    /// What is not as promised.
    pub fn problems(&self, expected: &[Expect]) -> Vec<String> {
        expected.iter().filter_map(|expected| self.check(expected).err()).collect()
    }

    fn check(&self, expected: &Expect) -> Result<(), String> {
        match expected {
            Expect::Status(status) => same("status", &self.answer()?.status, status),
            Expect::Reason(reason) => same("reason", &&*self.answer()?.reason(), reason),
            Expect::Body(body) => same("body", &self.answer()?.text(), body),
            Expect::BodyStarts(start) => {
                let body = self.answer()?.text();
                if body.starts_with(start) {
                    Ok(())
                } else {
                    Err(format!("body {body:?} does not begin with {start:?}"))
                }
            }
            Expect::Header(name, value) => same(name, &self.answer()?.header(name), value),
            Expect::NoHeader(name) => same(name, &self.answer()?.headers.get(*name), &None),
            Expect::Trailer(name, value) => {
                let trailers = self.answer()?.trailers.clone().unwrap_or_default();
                same(name, &trailers.get(*name).and_then(|value| value.to_str().ok()), &Some(*value))
            }
            Expect::NoAnswer => same("an answer", &self.answer.map(|answer| answer.status), &None),
            Expect::Note(name, value) => self.note(name, &value.to_string()),
            Expect::OneOf(name, numbers) => {
                self.each(name, &format!("one of {numbers:?}"), |number| numbers.contains(&number))
            }
            Expect::NoneOf(name, numbers) => {
                self.each(name, &format!("none of {numbers:?}"), |number| !numbers.contains(&number))
            }
            Expect::Once(name, value) => {
                let notes = self.notes(name);
                let good = notes.contains(&value.to_string());
                if good { Ok(()) } else { Err(format!("{name}: {notes:?}, promised {value} once")) }
            }
            Expect::Text(name, text) => self.note(name, &text.replace("{self}", self.own)),
            Expect::Texts(name, texts) => {
                same(name, &self.notes(name), &texts.iter().map(|text| (*text).to_owned()).collect())
            }
            Expect::Last(name, text) => same(name, &self.notes(name).last().map(String::as_str), &Some(*text)),
            Expect::TextHas(name, part) => {
                let notes = self.notes(name);
                let good = notes.iter().any(|note| note.contains(part));
                if good { Ok(()) } else { Err(format!("{name}: {notes:?} has no {part:?}")) }
            }
            Expect::Positive(name) => self.each(name, "a number above 0", |number| number > 0),
            Expect::Upstream(count) => same("requests at the origin", &self.upstream.len(), count),
            Expect::UpstreamHeader(name, value) => {
                same(name, &self.at_origin()?.header(name), &value.replace("{self}", self.own))
            }
            Expect::UpstreamNoHeader(name) => same(name, &self.at_origin()?.has(name), &false),
            Expect::UpstreamBody(body) => {
                same("body at the origin", &String::from_utf8_lossy(&self.at_origin()?.body).into_owned(), body)
            }
            Expect::UpstreamBodyStarts(start) => {
                let body = String::from_utf8_lossy(&self.at_origin()?.body).into_owned();
                if body.starts_with(start) {
                    Ok(())
                } else {
                    Err(format!("body {body:?} does not begin with {start:?}"))
                }
            }
            Expect::UpstreamTrailer(name, value) => {
                let trailers = self.at_origin()?.trailers.clone().unwrap_or_default();
                same(name, &trailers.get(*name).and_then(|value| value.to_str().ok()), &Some(*value))
            }
            Expect::Field(name, value) => same(name, &self.line()?[*name], value),
            Expect::Calls(hook, outcome, count) => {
                let labels = [("plugin", self.own), ("hook", hook.name()), ("outcome", *outcome)];
                let calls = self.proxy.scrape().value("tidegate_plugin_calls_total", &labels);
                let good = if *count == 0 { calls > 0.0 } else { calls == f64::from(*count) };
                if good { Ok(()) } else { Err(format!("calls {labels:?}: {calls}, promised {count}")) }
            }
            Expect::Dropped(effect, reason, least) => {
                let labels = [("plugin", self.own), ("effect", *effect), ("reason", *reason)];
                let scrape = self.proxy.scrape();
                let dropped = scrape.value("tidegate_plugin_dropped_total", &labels);
                if dropped >= f64::from(*least) {
                    return Ok(());
                }
                let of_plugin = [("plugin", self.own)];
                let others: Vec<_> = scrape.matching("tidegate_plugin_dropped_total", &of_plugin).collect();
                Err(format!("dropped {labels:?}: {dropped}, promised {least}; there are {others:?}"))
            }
            Expect::Span(name, attribute) => match attribute {
                None => self.span(name).map(drop),
                Some((key, value)) => {
                    let found = self.span(name)?.attributes.get(*key).cloned();
                    same(key, &found, &Some(value.replace("{self}", self.own)))
                }
            },
            Expect::SpanEvent(name, event) => same("events", &self.span(name)?.events, &vec![(*event).to_owned()]),
            Expect::SpanStatus(name, status) => same("span status", &self.span(name)?.status, status),
            Expect::Line(level, text) => {
                let lines = self.lines();
                let found = lines.iter().any(|line| line["message"] == *text && line["level"] == *level);
                if found { Ok(()) } else { Err(format!("no line {level} {text:?} in {lines:#?}")) }
            }
            Expect::Scrape(name, labels, value) => {
                let labels: Vec<_> =
                    labels.iter().map(|(name, value)| (*name, value.replace("{self}", self.own))).collect();
                let labels: Vec<_> = labels.iter().map(|(name, value)| (*name, &**value)).collect();
                same(name, &self.proxy.scrape().get(&name.replace("{self}", self.own), &labels), &Some(*value))
            }
        }
    }

    fn answer(&self) -> Result<&Answer, String> {
        self.answer.ok_or_else(|| "there was no answer".to_owned())
    }

    fn at_origin(&self) -> Result<&tidegate_tests::Seen, String> {
        self.upstream.last().ok_or_else(|| "the origin saw nothing".to_owned())
    }

    /// The case's last line in the access log.
    fn line(&self) -> Result<Json, String> {
        let of_case = |line: &Json| line["path"].as_str().is_some_and(|path| path.split('/').nth(1) == Some(self.own));
        self.proxy.log_lines().into_iter().rev().find(of_case).ok_or_else(|| "no line in the access log".to_owned())
    }

    /// The plugin's lines on standard error.
    fn lines(&self) -> Vec<Json> {
        self.proxy.diagnostics().into_iter().filter(|line| line["plugin"] == self.own).collect()
    }

    /// What was noted under a name, in order.
    fn notes(&self, name: &str) -> Vec<String> {
        let (prefix, word) = (format!("note {name}="), format!("{name}="));
        let next = format!("{}-next", self.own);
        let lines = self.proxy.diagnostics().into_iter();
        let lines = lines.filter(|line| line["plugin"] == self.own || line["plugin"] == next);
        let one = |line: Json| -> Option<String> {
            let text = line["message"].as_str()?;
            let found = match text.strip_prefix("notes ") {
                Some(together) => together.split(' ').find_map(|note| note.strip_prefix(&word)),
                None => text.strip_prefix(&prefix),
            };
            found.map(str::to_owned)
        };
        let mut notes: Vec<_> = lines.filter_map(one).collect();
        if notes.is_empty() {
            notes.extend(self.line().ok().and_then(|line| line[name].as_str().map(str::to_owned)));
        }
        notes
    }

    /// Each note of a name is a number of which this holds; texts count as their length.
    fn each(&self, name: &str, what: &str, holds: impl Fn(i64) -> bool) -> Result<(), String> {
        let notes = self.notes(name);
        let number = |note: &String| note.parse().unwrap_or_else(|_| i64::try_from(note.len()).unwrap());
        if !notes.is_empty() && notes.iter().all(|note| holds(number(note))) {
            return Ok(());
        }
        Err(format!("{name}: {notes:?}, promised {what}"))
    }

    fn note(&self, name: &str, wanted: &str) -> Result<(), String> {
        let notes = self.notes(name);
        if !notes.is_empty() && notes.iter().all(|note| note == wanted) {
            return Ok(());
        }
        Err(format!("{name}: {notes:?}, promised {wanted:?}"))
    }

    /// The newest span of this name in the exchange's trace.
    fn span(&self, name: &str) -> Result<Span, String> {
        let line = self.line()?;
        let spans = self.collector.spans().into_iter().filter(|span| line["trace_id"] == span.trace_id.as_str());
        let spans: Vec<_> = spans.collect();
        let found = spans.iter().rev().find(|span| if name == "server" { span.kind == 2 } else { span.name == name });
        found.cloned().ok_or_else(|| {
            let names: Vec<_> = spans.iter().map(|span| &span.name).collect();
            format!("no span {name} among {names:?}")
        })
    }
}
