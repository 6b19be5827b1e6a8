//! Hundreds of reloads under load in both protocols, changing the configuration and the module in turn: nothing fails, nothing is left.
//! It knows nothing of what a reload is for. `tests/scripts/reload-soak.sh` runs it at length and shows the figures.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use tidegate_tests::{Connection, Proxy, eventually, generation, origin, proxy, resident_bytes};

/// How many reloads, where the environment does not say. As many come before them, and fill caches, the allocator's too: memory is
/// compared after that.
const RELOADS: usize = 200;
/// So much may memory grow in the second half.
const GROWTH: f64 = 0.05;
/// In a short run what the allocator happens to keep is more than that.
const NOISE: (usize, f64) = (1000, 0.2);

/// Clients that ask without a pause until they are told to stop. A request that fails ends its thread in a panic.
struct Load {
    stop: Arc<AtomicBool>,
    served: Arc<AtomicUsize>,
    threads: Vec<JoinHandle<()>>,
}

#[derive(Clone, Copy)]
enum Client {
    Http1Kept,
    Http1New,
    Http2,
}

impl Load {
    fn start(address: SocketAddr) -> Self {
        let (stop, served) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicUsize::new(0)));
        let clients = [Client::Http1Kept, Client::Http1New, Client::Http2, Client::Http2];
        let threads = clients.map(|client| {
            let (stop, served) = (Arc::clone(&stop), Arc::clone(&served));
            std::thread::spawn(move || {
                let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
                runtime.block_on(ask(client, address, &stop, &served));
            })
        });
        Self { stop, served, threads: threads.into() }
    }

    fn served(&self) -> usize {
        self.served.load(Ordering::SeqCst)
    }

    /// How many were served in all.
    fn stop(self) -> usize {
        self.stop.store(true, Ordering::SeqCst);
        for thread in self.threads {
            thread.join().expect("a request failed");
        }
        self.served.load(Ordering::SeqCst)
    }
}

async fn ask(client: Client, address: SocketAddr, stop: &AtomicBool, served: &AtomicUsize) {
    let connect = async || match client {
        Client::Http2 => Connection::http2(address).await,
        Client::Http1Kept | Client::Http1New => Connection::http1(address).await,
    };
    let mut connection = connect().await;
    while !stop.load(Ordering::SeqCst) {
        if matches!(client, Client::Http1New) {
            connection = connect().await;
        }
        // Some are under way while a reload comes and goes.
        let path = if served.load(Ordering::SeqCst).is_multiple_of(50) { "/slow/30" } else { "/x" };
        let answer = connection.get(path).await;
        assert_eq!(answer.status, 200, "{}", answer.text());
        assert!(answer.header("x-generation").starts_with('g'), "the plugin was passed by: {:?}", answer.headers);
        served.fetch_add(1, Ordering::SeqCst);
    }
}

/// What the middle one of some measurements of the memory is, in bytes.
fn median(memory: &[u64]) -> u64 {
    let mut memory = memory.to_vec();
    memory.sort_unstable();
    memory[memory.len() / 2]
}

fn generations(proxy: &Proxy) -> f64 {
    proxy.scrape().value("tidegate_plugin_generations", &[("plugin", "p")])
}

#[tokio::test]
#[allow(clippy::print_stderr, reason = "the figures, for whoever runs it at length")]
async fn under_load_nothing_fails_and_nothing_is_left() {
    let reloads = std::env::var("TIDEGATE_RELOADS").map_or(RELOADS, |reloads| reloads.parse().expect("a number"));
    let origin = origin().start();
    // A busy machine may take a thread its core away in a hook.
    let budget = "budget: { deadline: 1s }";
    let config = |number: usize| {
        format!(
            "routes: [{{ name: app, upstream: app, plugins: [ids, p], match: {{ path_prefix: / }} }}]\n\
             upstreams: {{ app: {{ endpoints: [\"{}\"] }} }}\n\
             plugins: {{ ids: {{ builtin: correlation-id, {budget} }}, p: {{ file: p.wasm, {budget}, config: {{ number: {number} }} }} }}\n\
             plugin_cache: {{ directory: modules }}\ntelemetry: {{ access_log: {{ output: off }} }}\n",
            origin.address()
        )
    };
    let proxy = proxy().file("p.wasm", generation("g0").handing_over().module()).config(config(0)).start();
    let load = Load::start(proxy.address());
    let (mut memory, mut slowest) = (Vec::new(), Duration::ZERO);
    let begun = Instant::now();
    for number in 1..=2 * reloads {
        let before = load.served();
        let asked = Instant::now();
        let answer = if number % 2 == 0 {
            proxy.reload(config(number))
        } else {
            // A module that was never seen, or one of those that were compiled already.
            let name = if number % 4 == 1 { format!("g{number}") } else { format!("g{}", number % 16) };
            proxy.write("p.wasm", generation(&name).handing_over().module());
            proxy.ask_admin("POST", "/-/reload", "")
        };
        assert_eq!(answer.status(), 200, "{}", answer.text());
        slowest = slowest.max(asked.elapsed());
        eventually("requests go on", || load.served() > before);
        memory.push(resident_bytes(proxy.id()));
    }
    let took = begun.elapsed();
    eventually("only the last generation is left", || generations(&proxy) == 1.0);
    let served = load.stop();
    assert!(served > reloads, "{served} requests");
    let scrape = proxy.wait_for_metric("http_server_request_duration_seconds_count", &[], served as f64);
    assert_eq!(
        scrape.value("http_server_request_duration_seconds_count", &[("http_response_status_code", "200")]),
        served as f64
    );
    assert_eq!(scrape.value("tidegate_plugin_generation", &[("plugin", "p")]), 2.0 * reloads as f64 + 1.0);
    assert_eq!(scrape.value("hits_total", &[("plugin", "p")]), served as f64, "a count was lost with its generation");
    assert_eq!(scrape.value("tidegate_plugin_restarts_total", &[]), 0.0);
    let held = proxy.diagnostics().iter().filter_map(|line| line["held_worker_us"].as_u64()).max().unwrap_or_default();

    // The part after the warm-up, its begin against its end.
    let rest = &memory[reloads..];
    let (first, last) = (median(&rest[..rest.len() / 4]), median(&rest[rest.len() - rest.len() / 4..]));
    let curve: Vec<_> = memory.chunks(reloads / 10).map(|part| median(part) / 1024).collect();
    eprintln!(
        "2 * {reloads} reloads in {took:.1?} (slowest {slowest:.1?}), {served} requests served, 0 failed; a worker was held {held} us \
         at most; memory {} -> {} KiB ({:+.1} %), over all reloads {curve:?}",
        first / 1024,
        last / 1024,
        (last as f64 / first as f64 - 1.0) * 100.0
    );
    let growth = if reloads < NOISE.0 { NOISE.1 } else { GROWTH };
    assert!((last as f64) < first as f64 * (1.0 + growth), "memory went from {} to {} KiB", first / 1024, last / 1024);
}
