//! A scrape, read back: the Prometheus text format, and OpenMetrics with its exemplars.
//! It knows no metric by name.

use std::collections::BTreeMap;

/// The labels of a series.
pub type Labels = BTreeMap<String, String>;

/// One line of a scrape.
#[derive(Clone, Debug, PartialEq)]
pub struct Sample {
    pub name: String,
    pub labels: Labels,
    pub value: f64,
    /// The exemplar's labels, where there is one.
    pub exemplar: Option<Labels>,
}

/// All that a scrape said.
#[derive(Clone, Debug)]
pub struct Metrics {
    pub samples: Vec<Sample>,
    /// As it came.
    pub text: String,
}

impl Metrics {
    /// Reads a scrape; fails the test where it is not well-formed.
    #[track_caller]
    pub fn parse(text: &str) -> Self {
        let lines = text.lines().filter(|line| !line.is_empty() && !line.starts_with('#'));
        let samples = lines.map(|line| sample(line).unwrap_or_else(|| panic!("not a sample: {line}"))).collect();
        Self { samples, text: text.to_owned() }
    }

    /// The samples of this name that have these labels, and perhaps more.
    pub fn matching<'a>(&'a self, name: &'a str, labels: &'a [(&str, &str)]) -> impl Iterator<Item = &'a Sample> {
        self.samples.iter().filter(move |sample| sample.name == name && has(&sample.labels, labels))
    }

    /// Their sum; 0 where there is none.
    pub fn value(&self, name: &str, labels: &[(&str, &str)]) -> f64 {
        self.matching(name, labels).map(|sample| sample.value).sum()
    }

    /// Their sum, where there is one.
    pub fn get(&self, name: &str, labels: &[(&str, &str)]) -> Option<f64> {
        self.matching(name, labels).next().map(|_| self.value(name, labels))
    }

    /// How many series there are.
    pub fn series(&self, name: &str) -> usize {
        self.matching(name, &[]).count()
    }
}

pub(crate) fn has(labels: &Labels, wanted: &[(&str, &str)]) -> bool {
    wanted.iter().all(|(name, value)| labels.get(*name).is_some_and(|found| found == value))
}

fn sample(line: &str) -> Option<Sample> {
    let (name, mut rest) = line.split_at(line.find(['{', ' '])?);
    let mut labels = Labels::new();
    if rest.starts_with('{') {
        (labels, rest) = braces(rest)?;
    }
    let (rest, exemplar) = match rest.split_once(" # ") {
        Some((rest, exemplar)) => (rest, Some(braces(exemplar)?.0)),
        None => (rest, None),
    };
    let value = match rest.split_whitespace().next()? {
        "+Inf" => f64::INFINITY,
        number => number.parse().ok()?,
    };
    Some(Sample { name: name.to_owned(), labels, value, exemplar })
}

/// `{a="b",c="d"}` and what follows it.
fn braces(text: &str) -> Option<(Labels, &str)> {
    let mut labels = Labels::new();
    let mut rest = text.strip_prefix('{')?;
    loop {
        if let Some(after) = rest.strip_prefix('}') {
            return Some((labels, after));
        }
        let (name, after) = rest.trim_start_matches(',').split_once("=\"")?;
        let mut value = String::new();
        let mut characters = after.char_indices();
        let end = loop {
            match characters.next()? {
                (at, '"') => break at + 1,
                (_, '\\') => value.push(match characters.next()?.1 {
                    'n' => '\n',
                    other => other,
                }),
                (_, other) => value.push(other),
            }
        };
        labels.insert(name.to_owned(), value);
        rest = &after[end..];
    }
}

#[cfg(test)]
mod tests {
    use super::Metrics;

    #[test]
    fn reads_labels_escapes_and_exemplars() {
        let text = "# HELP a b\na_total{x=\"1\\\"\\n,}\",y=\"\"} 2.5\na_bucket{le=\"+Inf\"} 7 # {trace_id=\"ab\"} 0.1 1.5\nb +Inf\n";
        let metrics = Metrics::parse(text);
        assert_eq!(metrics.value("a_total", &[("x", "1\"\n,}")]), 2.5);
        assert_eq!(metrics.samples[1].exemplar.as_ref().unwrap()["trace_id"], "ab");
        assert_eq!(metrics.samples[2].value, f64::INFINITY);
    }
}
