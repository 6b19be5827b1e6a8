//! The proxy under test: started as a user starts it, and seen as a user sees it.
//! It knows the command line, the configuration's text and the outputs; nothing of the inside.

use std::io::{BufRead, BufReader};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::{Arc, Mutex};

use serde_json::Value;

use crate::raw::{RawMessage, raw};
use crate::{Metrics, Origin, Scratch, eventually, eventually_some};

/// A proxy to be started.
pub fn proxy() -> ProxyBuilder {
    ProxyBuilder { config: String::new(), environment: Vec::new(), descriptors: String::new(), folder: Scratch::new() }
}

/// How a proxy will be.
#[derive(Debug)]
pub struct ProxyBuilder {
    config: String,
    environment: Vec<(String, String)>,
    /// What the shell says first.
    descriptors: String,
    folder: Scratch,
}

/// A running proxy; it is killed when dropped.
#[derive(Debug)]
pub struct Proxy {
    child: Child,
    folder: Scratch,
    stdout: Lines,
    stderr: Lines,
}

/// The lines of an output so far.
type Lines = Arc<Mutex<Vec<String>>>;

// === impl ProxyBuilder ===

impl ProxyBuilder {
    /// Adds to the configuration, as YAML. What it does not say of listeners (`web`), the admin port and workers (2) is
    /// added, with free ports.
    pub fn config(mut self, yaml: impl AsRef<str>) -> Self {
        self.config.push_str(yaml.as_ref());
        self.config.push('\n');
        self
    }

    /// Sends everything to one origin, through the upstream `app` and a route of that name.
    pub fn origin(self, origin: &Origin) -> Self {
        self.upstream(origin.address())
    }

    /// The same, for any address.
    pub fn upstream(self, address: SocketAddr) -> Self {
        self.config(format!(
            "routes: [{{ name: app, upstream: app }}]\nupstreams: {{ app: {{ endpoints: [\"{address}\"] }} }}"
        ))
    }

    /// A variable of the proxy's environment.
    pub fn environment(mut self, name: &str, value: &str) -> Self {
        self.environment.push((name.to_owned(), value.to_owned()));
        self
    }

    /// How many file descriptors it may have, where not as many as the test itself.
    pub fn descriptors(mut self, count: u32) -> Self {
        self.descriptors = format!("ulimit -n {count}; ");
        self
    }

    /// How many it has at first, where it may have as many as the test itself.
    pub fn soft_descriptors(mut self, count: u32) -> Self {
        self.descriptors = format!("ulimit -Sn {count}; ");
        self
    }

    /// A file beside the configuration.
    pub fn file(self, name: &str, content: impl AsRef<[u8]>) -> Self {
        self.folder.write(name, content);
        self
    }

    /// Starts it and waits until it is ready.
    #[track_caller]
    pub fn start(self) -> Proxy {
        let path = self.folder.write("tidegate.yaml", complete(&self.config));
        let mut command = match &*self.descriptors {
            "" => Command::new(crate::tidegate()),
            limit => {
                let mut shell = Command::new("sh");
                shell.arg("-c").arg(format!("{limit}exec \"$0\" \"$@\"")).arg(crate::tidegate());
                shell
            }
        };
        command.env("XDG_CACHE_HOME", crate::binary::caches());
        command.arg("run").arg("-c").arg(path).current_dir(self.folder.path()).envs(self.environment);
        command.env_remove("RUST_LOG").stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = command.spawn().unwrap();
        let (stdout, stderr) = (lines(child.stdout.take().unwrap()), lines(child.stderr.take().unwrap()));
        let mut proxy = Proxy { child, folder: self.folder, stdout, stderr };
        eventually("the proxy is ready", || {
            let ended = proxy.child.try_wait().unwrap();
            assert!(ended.is_none(), "the proxy does not start:\n{}", proxy.stderr_text());
            proxy.diagnostics().iter().any(|line| line["message"] == "ready")
        });
        proxy
    }
}

fn complete(config: &str) -> String {
    let has = |key: &str| config.lines().any(|line| line.starts_with(key));
    let mut whole = String::new();
    if !has("admin:") {
        whole.push_str("admin: { address: \"127.0.0.1:0\" }\n");
    }
    if !has("listeners:") {
        whole.push_str("listeners: [{ name: web, address: \"127.0.0.1:0\" }]\n");
    }
    if !has("workers:") {
        whole.push_str("workers: 2\n");
    }
    whole + config
}

fn lines(pipe: impl std::io::Read + Send + 'static) -> Lines {
    let lines = Lines::default();
    let shared = Arc::clone(&lines);
    std::thread::spawn(move || {
        for line in BufReader::new(pipe).split(b'\n').map_while(Result::ok) {
            shared.lock().unwrap().push(String::from_utf8_lossy(&line).into_owned());
        }
    });
    lines
}

// === impl Proxy ===

impl Proxy {
    /// Where the first listener listens.
    pub fn address(&self) -> SocketAddr {
        self.listeners().into_iter().find(|(name, _)| name != "admin").expect("a listener").1
    }

    /// Where the newest listener of this name listens.
    #[track_caller]
    pub fn listener(&self, name: &str) -> SocketAddr {
        eventually_some(&format!("the listener {name} listens"), || {
            self.listeners().into_iter().rev().find(|(found, _)| found == name).map(|(_, address)| address)
        })
    }

    /// Where the admin port is.
    pub fn admin(&self) -> SocketAddr {
        self.listener("admin")
    }

    fn listeners(&self) -> Vec<(String, SocketAddr)> {
        let lines = self.diagnostics().into_iter().filter(|line| line["message"] == "listening");
        lines.map(|line| (string(&line["listener"]), string(&line["address"]).parse().unwrap())).collect()
    }

    /// The process.
    pub fn id(&self) -> u32 {
        self.child.id()
    }

    /// The folder it was started in.
    pub fn folder(&self) -> &Path {
        self.folder.path()
    }

    /// Its lines on standard error that are JSON objects.
    pub fn diagnostics(&self) -> Vec<Value> {
        let lines = self.stderr.lock().unwrap();
        lines.iter().filter_map(|line| serde_json::from_str(line).ok()).collect()
    }

    /// Standard error, for messages of failing tests.
    pub fn stderr_text(&self) -> String {
        self.stderr.lock().unwrap().join("\n")
    }

    /// The lines on standard output so far, as they are.
    pub fn output_lines(&self) -> Vec<String> {
        self.stdout.lock().unwrap().clone()
    }

    /// The access log so far, in the order in which the exchanges ended; the lines of two workers may come otherwise.
    #[track_caller]
    pub fn log_lines(&self) -> Vec<Value> {
        let parse = |line: String| serde_json::from_str(&line).unwrap_or_else(|error| panic!("{error}: {line}"));
        let mut lines: Vec<Value> = self.output_lines().into_iter().map(parse).collect();
        lines.sort_by_key(|line| string(&line["timestamp"]));
        lines
    }

    /// The access log as soon as it has so many lines; more fail the test.
    #[track_caller]
    pub fn wait_for_log(&self, count: usize) -> Vec<Value> {
        eventually(&format!("{count} lines of access log"), || self.stdout.lock().unwrap().len() >= count);
        let lines = self.log_lines();
        assert_eq!(lines.len(), count, "{lines:#?}");
        lines
    }

    /// The diagnostics with all of these words in them, as soon as there is one: they are written by a thread of its own.
    #[track_caller]
    pub fn wait_for_said(&self, words: &[&str]) -> Vec<Value> {
        eventually_some(&format!("{words:?} in the log"), || {
            let mut lines = self.diagnostics();
            lines.retain(|line| words.iter().all(|word| line.to_string().contains(word)));
            (!lines.is_empty()).then_some(lines)
        })
    }

    /// A request to the admin port.
    #[track_caller]
    pub fn ask_admin(&self, method: &str, path: &str, headers: &str) -> RawMessage {
        let head = format!(
            "{method} {path} HTTP/1.1\r\nhost: admin\r\nconnection: close\r\ncontent-length: 0\r\n{headers}\r\n"
        );
        raw(self.admin()).send(head).response()
    }

    /// A scrape of the admin port.
    #[track_caller]
    pub fn scrape(&self) -> Metrics {
        let answer = self.ask_admin("GET", "/metrics", "");
        assert_eq!(answer.status(), 200);
        Metrics::parse(&answer.text())
    }

    /// A scrape that accepts OpenMetrics, with exemplars.
    #[track_caller]
    pub fn scrape_openmetrics(&self) -> Metrics {
        let answer = self.ask_admin("GET", "/metrics", "accept: application/openmetrics-text; version=1.0.0\r\n");
        assert!(answer.header("content-type").unwrap().starts_with("application/openmetrics-text"), "{}", answer.head);
        Metrics::parse(&answer.text())
    }

    /// Waits until the sum of a metric over these labels is `value`.
    #[track_caller]
    pub fn wait_for_metric(&self, name: &str, labels: &[(&str, &str)], value: f64) -> Metrics {
        eventually_some(&format!("{name}{labels:?} = {value}"), || {
            let metrics = self.scrape();
            (metrics.value(name, labels) == value).then_some(metrics)
        })
    }

    /// Writes another configuration and does nothing more; the proxy may see it or not.
    pub fn write_config(&self, yaml: impl AsRef<str>) -> PathBuf {
        self.folder.write("tidegate.yaml", complete(yaml.as_ref()))
    }

    /// Writes another file beside the configuration.
    pub fn write(&self, name: &str, content: impl AsRef<[u8]>) -> PathBuf {
        self.folder.write(name, content)
    }

    /// Writes another configuration, asks the admin port to load it, and gives the answer.
    #[track_caller]
    pub fn reload(&self, yaml: impl AsRef<str>) -> RawMessage {
        self.write_config(yaml);
        self.ask_admin("POST", "/-/reload", "")
    }

    /// Sends a signal, `TERM` or `HUP`.
    pub fn signal(&self, name: &str) {
        let kill = Command::new("kill").args(["-s", name, &self.child.id().to_string()]).status().unwrap();
        assert!(kill.success());
    }

    /// Waits for its end.
    #[track_caller]
    pub fn wait(&mut self) -> ExitStatus {
        eventually_some("the proxy ends", || self.child.try_wait().unwrap())
    }

    /// Asks it to end, and waits; what it still wrote stays readable.
    #[track_caller]
    pub fn stop(&mut self) -> ExitStatus {
        self.signal("TERM");
        self.wait()
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
        if std::thread::panicking() {
            eprintln!("--- the proxy said:\n{}\n---", self.stderr_text());
        }
    }
}

fn string(value: &Value) -> String {
    value.as_str().unwrap_or_default().to_owned()
}
