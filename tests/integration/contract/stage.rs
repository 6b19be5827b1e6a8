//! Plays cases: one proxy for all cases of a group, the traffic of each in turn, and what is seen of it from outside.
//! It knows no case and no adapter's inside.

use std::net::SocketAddr;

use http::HeaderMap;
use tidegate_tests::{Answer, Body, Collector, Connection, Origin, Proxy, collector, nowhere, origin, proxy, request};
use tokio::net::TcpStream;

use super::adapter::{ADAPTERS, Adapter};
use super::case::{Case, Request, Traffic};
use super::seen::Seen;

/// How long is waited for what must be seen.
const PATIENCE: std::time::Duration = std::time::Duration::from_secs(10);

/// Runs the cases against every adapter; all that is broken is told at the end.
pub async fn play(cases: Vec<Case>) {
    let mut broken = Vec::new();
    for adapter in ADAPTERS {
        let stage = Stage::start(adapter, cases.clone());
        for (number, case) in cases.iter().enumerate() {
            let problems = stage.case(number).await;
            if !problems.is_empty() {
                let promise = &case.promise;
                broken.push(format!("{}: {promise}:\n    {}", adapter.name(), problems.join("\n    ")));
            }
        }
    }
    assert!(broken.is_empty(), "{} of the contract's promises are broken:\n{}", broken.len(), broken.join("\n"));
}

/// A running group.
pub struct Stage {
    proxy: Proxy,
    origin: Origin,
    collector: Collector,
    nowhere: SocketAddr,
    cases: Vec<Case>,
}

impl Stage {
    fn start(adapter: &dyn Adapter, cases: Vec<Case>) -> Self {
        let (origin, collector, nowhere) = (origin().start(), collector(), nowhere());
        let mut builder = proxy().config(config(&cases, None, &origin, &collector, nowhere));
        for (number, case) in cases.iter().enumerate() {
            builder = builder.file(&format!("c{number}.wasm"), adapter.puppet(&case.script, &format!("c{number}")));
            if let Some(next) = &case.next {
                builder = builder.file(&format!("c{number}-next.wasm"), adapter.puppet(next, &format!("c{number}")));
            }
        }
        let proxy = builder.start();
        Self { proxy, origin, collector, nowhere, cases }
    }

    /// Plays one case and returns what is not as promised.
    async fn case(&self, number: usize) -> Vec<String> {
        let (case, own) = (&self.cases[number], format!("c{number}"));
        let address = if case.listener { self.proxy.listener(&own) } else { self.proxy.listener("web") };
        let before = self.origin.count();
        let mut answers = Vec::new();
        for traffic in &case.traffic {
            match traffic {
                Traffic::Send(request) => answers.push(self.send(address, &own, request).await),
                Traffic::Connect => drop(TcpStream::connect(address).await.unwrap()),
                Traffic::Reconfigure(changed) => {
                    let text =
                        config(&self.cases, Some((number, changed)), &self.origin, &self.collector, self.nowhere);
                    let answer = self.proxy.reload(text);
                    assert_eq!(answer.status(), 200, "{}", answer.text());
                }
            }
        }
        let begun = std::time::Instant::now();
        loop {
            let seen = Seen {
                own: &own,
                proxy: &self.proxy,
                collector: &self.collector,
                upstream: self.origin.seen()[before..].to_vec(),
                answer: answers.last().and_then(Option::as_ref),
            };
            let problems = seen.problems(&case.expected);
            if problems.is_empty() || begun.elapsed() > PATIENCE {
                return problems;
            }
            tokio::time::sleep(std::time::Duration::from_millis(20)).await;
        }
    }

    async fn send(&self, address: SocketAddr, own: &str, wanted: &Request) -> Option<Answer> {
        let mut connection =
            if wanted.http2 { Connection::http2(address).await } else { Connection::http1(address).await };
        let mut builder = request(wanted.method, &format!("/{own}{}", wanted.path));
        for (name, value) in &wanted.headers {
            builder = builder.header(*name, value.replace("{self}", own));
        }
        let body = match (&*wanted.pieces, &*wanted.trailers) {
            ([], []) => Body::empty(),
            ([whole], []) => Body::from(whole.clone()),
            (pieces, trailers) => {
                let (feed, body) = Body::fed(1);
                let pieces = pieces.to_vec();
                let trailers: HeaderMap =
                    trailers.iter().map(|(name, value)| (name.parse().unwrap(), value.parse().unwrap())).collect();
                tokio::spawn(async move {
                    for piece in pieces {
                        if !feed.send(piece).await {
                            return;
                        }
                    }
                    if !trailers.is_empty() {
                        feed.trailers(trailers).await;
                    }
                });
                body
            }
        };
        let before = self.origin.count();
        let begun = connection.begin(builder.body(body).unwrap());
        if wanted.leaves {
            let origin = &self.origin;
            tokio::select! {
                _ = begun => panic!("an answer came before the client could leave"),
                () = async { while origin.count() == before { tokio::time::sleep(std::time::Duration::from_millis(2)).await } } => return None,
            }
        }
        Answer::read(begun.await.ok()?).await.ok()
    }
}

/// The configuration of all cases: each with its route below a path of its own.
fn config(
    cases: &[Case],
    changed: Option<(usize, &serde_json::Value)>,
    origin: &Origin,
    collector: &Collector,
    nowhere: SocketAddr,
) -> String {
    let (mut listeners, mut routes, mut plugins, mut upstreams, mut limits) =
        (String::new(), String::new(), String::new(), String::new(), String::new());
    for (number, case) in cases.iter().enumerate() {
        let fill_in = |text: &str| text.replace("{self}", &format!("c{number}"));
        if case.listener {
            listeners += &fill_in("\n  - { name: {self}, address: \"127.0.0.1:0\", plugins: [{self}] }");
        }
        let upstream = if case.route.contains("upstream:") { "" } else { ", upstream: app" };
        let next = if case.next.is_some() { ", {self}-next" } else { "" };
        routes += &fill_in(&format!(
            "\n  - {{ name: {{self}}, match: {{ path_prefix: /{{self}} }}, rewrite: {{ prefix: / }}, plugins: [{{self}}{next}]{upstream}{} }}",
            case.route
        ));
        let of_plugin = match changed {
            Some((changed, config)) if changed == number => config,
            _ => &case.config,
        };
        // A busy machine may keep a worker from its work for longer than a hook may take.
        let of_budget = match &*case.plugin {
            plugin if plugin.contains("deadline:") => plugin.to_owned(),
            plugin if plugin.contains("budget: {") => plugin.replace("budget: {", "budget: { deadline: 5s,"),
            plugin => format!("{plugin}, budget: {{ deadline: 5s }}"),
        };
        plugins += &fill_in(&format!("\n  {{self}}: {{ file: {{self}}.wasm, config: {of_plugin}{of_budget} }}"));
        if case.next.is_some() {
            plugins += &fill_in("\n  {self}-next: { file: {self}-next.wasm, budget: { deadline: 5s } }");
        }
        for (all, one) in [(&mut upstreams, &case.upstreams), (&mut limits, &case.limits)] {
            for line in one.lines().map(str::trim).filter(|line| !line.is_empty()) {
                *all += &fill_in(&format!("\n  {line}"));
            }
        }
    }
    let limits = if limits.is_empty() { limits } else { format!("limits:{limits}\n") };
    let text = format!(
        "workers: 1\nlisteners:\n  - {{ name: web, address: \"127.0.0.1:0\" }}{listeners}\nroutes:{routes}\n  - {{ name: elsewhere, match: {{ path: /elsewhere }}, upstream: app }}\nupstreams:\n  app: {{ endpoints: [\"{{origin}}\"] }}{upstreams}\n{limits}plugins:{plugins}\n\
         telemetry: {{ otlp: {{ endpoint: \"{}\" }}, traces: {{ interval: 50ms }} }}\n",
        collector.endpoint(),
    );
    text.replace("{origin}", &origin.address().to_string()).replace("{nowhere}", &nowhere.to_string())
}
