//! Counts and times requests by a class that the configuration derives from path, host, method, header or query.
//! How a rule matches stands in `rules`; here is only what becomes of the class.

use tidegate_sdk::prelude::*;

pub mod rules;

use rules::{Rule, Rules};

/// The configuration.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Config {
    /// The name of the label, of the log field and of the span attribute.
    label: String,
    /// The first that matches gives the class.
    rules: Vec<Rule>,
    /// The class of a request that no rule matches.
    #[serde(default = "other")]
    otherwise: String,
}

struct Classifier {
    label: String,
    rules: Rules,
    /// By rule.
    classes: Vec<Label>,
    otherwise: Label,
    requests: Counter<1>,
    duration: Histogram<1>,
}

/// The class, from the request's head to the end of the exchange.
#[derive(Default)]
struct Class(Option<Label>);

#[plugin]
impl Classifier {
    fn configure(config: Config, define: &mut Define) -> Result<Self> {
        let Config { label, rules, otherwise } = config;
        let rules = Rules::new(rules).map_err(Error::new)?;
        let classes = define.label_set(&label, rules.values().chain([&*otherwise]))?;
        let (requests, duration) = (format!("requests_by_{label}"), format!("requests_by_{label}.duration"));
        Ok(Self {
            otherwise: classes.get(&*otherwise),
            requests: define.counter(&requests).help("Requests by class").labels([&label]).build()?,
            duration: define
                .histogram(&duration)
                .unit("s")
                .help("Time of requests by class")
                .labels([&label])
                .build()?,
            classes: rules.values().map(|class| classes.get(class)).collect(),
            rules,
            label,
        })
    }

    fn request_head(&self, exchange: &Exchange, state: &mut Class) {
        let span = exchange.span().child("classify");
        let class = self.classify(exchange);
        span.attribute(&self.label, class);
        state.0 = Some(class);
    }

    fn log(&self, exchange: &Exchange, state: &mut Class) {
        // An exchange that was answered before the request's head reached this plugin is a request all the same.
        let class = state.0.unwrap_or_else(|| self.classify(exchange));
        self.requests.add(1, [class]);
        self.duration.record(exchange.duration(), [class]);
    }
}

impl Classifier {
    /// Finds the class, and notes it in the log line and the span.
    fn classify(&self, exchange: &Exchange) -> Label {
        let rule = self.rules.find(exchange);
        let class = rule.and_then(|rule| self.classes.get(rule)).copied().unwrap_or(self.otherwise);
        exchange.log_field(&self.label, class);
        exchange.span().attribute(&self.label, class);
        class
    }
}

fn other() -> String {
    "other".to_owned()
}

#[cfg(test)]
mod tests;
