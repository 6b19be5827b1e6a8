//! Those invariants of docs/ARCHITECTURE.md that are seen in the sources: where a stage may be called, a lock stand, a file be read.
//! It knows the text of the code, not its meaning; what can be seen from outside is tested over sockets.

use crate::house::files;

/// The rooms through which every request goes on a worker.
const REQUEST_PATH: [&str; 5] = ["worker", "exchange", "websocket", "view", "wire"];
/// The rooms below them that a request also passes.
const ROOMS: [&str; 5] = ["upstream", "limit", "route", "listen", "plugin"];

/// Path below `proxy/src` and code without comments, tests left out.
fn sources() -> Vec<(String, String)> {
    let sources = files("proxy/src", ".rs").into_iter().map(|(path, text)| {
        let path = path.strip_prefix("proxy/src").unwrap().to_str().unwrap().to_owned();
        let code = text.split("#[cfg(test)]\nmod tests {").next().unwrap();
        let lines = code.lines().filter(|line| !line.trim_start().starts_with("//"));
        (path, lines.collect::<Vec<_>>().join("\n"))
    });
    sources.filter(|(path, _)| !path.contains("tests")).collect()
}

fn is_in(path: &str, rooms: &[&str]) -> bool {
    rooms.iter().any(|room| path == format!("{room}.rs") || path.starts_with(&format!("{room}/")))
}

/// Which of these rooms' files contain any of the words.
fn containing(rooms: &[&str], words: &[&str]) -> Vec<String> {
    let mut found: Vec<String> = sources()
        .into_iter()
        .filter(|(path, code)| is_in(path, rooms) && words.iter().any(|word| code.contains(word)))
        .map(|(path, _)| path)
        .collect();
    found.sort();
    found
}

#[test]
fn requests_stay_on_their_thread() {
    let rooms: Vec<&str> = REQUEST_PATH.into_iter().chain(ROOMS).collect();
    let spawning = ["tokio::spawn(", "task::spawn(", "thread::spawn(", "new_multi_thread"];
    assert_eq!(containing(&rooms, &spawning), [""; 0]);
    // Threads are started for workers and for the plugins' clock, never for a request.
    assert_eq!(containing(&rooms, &["thread::Builder"]), ["plugin/engine.rs", "worker.rs"]);
}

#[test]
fn locks_and_atomics_stand_only_where_they_are_declared() {
    let rooms: Vec<&str> = REQUEST_PATH.into_iter().chain(ROOMS).collect();
    let sharing = ["Mutex", "RwLock", "sync::atomic", "OnceLock", "LazyLock"];
    let declared = [
        // Exact over cores, or it would let through a multiple.
        "limit.rs",
        "limit/store.rs",
        // Once for a connection.
        "listen/connections.rs",
        // Whether something was said, while a plugin is loaded.
        "plugin/compiled.rs",
        // Numbers the files that are written.
        "plugin/compiled/folder.rs",
        // Read by a call, written about once in 100 ms.
        "plugin/engine.rs",
        // When a plugin is loaded, or goes into quarantine.
        "plugin/load.rs",
        // When a series is seen for the first time, and when a generation comes or goes.
        "plugin/series/admitted.rs",
        // What workers share they must agree on; a look-up each.
        "plugin/store.rs",
        // All workers agree on what an upstream can take; a success while it is closed only reads.
        "upstream/breaker.rs",
        // Not shared between threads: they queue tasks of one worker that wait for the same connection or name.
        "upstream/pools.rs",
        "upstream/resolve.rs",
    ];
    assert_eq!(containing(&rooms, &sharing), declared);
}

#[test]
fn workers_read_and_compile_nothing() {
    let blocking = ["std::fs", "fs::read", "File::", "spawn_blocking", "block_on(", "thread::sleep", "std::env"];
    // A worker's own start blocks on its runtime, in `run`, for all of its life.
    assert_eq!(containing(&REQUEST_PATH, &blocking), ["worker.rs"]);
    assert_eq!(
        containing(&REQUEST_PATH, &["use crate::config", "Snapshot::build", "Loaded::load", "Router::new"]),
        [""; 0]
    );
    // What reads files below them is called by the snapshot, on the control thread.
    let reading = containing(&ROOMS, &["std::fs", "fs::read", "File::"]);
    assert_eq!(
        reading,
        ["listen/tls/certificates.rs", "plugin/compiled/folder.rs", "plugin/load.rs", "upstream/tls.rs"]
    );
}

#[test]
fn the_lints_that_hold_invariants_are_on() {
    let manifest = std::fs::read_to_string(tidegate_tests::workspace().join("Cargo.toml")).unwrap();
    for lint in ["await_holding_refcell_ref", "unwrap_used", "expect_used", "panic", "indexing_slicing"] {
        assert!(manifest.contains(&format!("{lint} = \"warn\"")), "{lint}");
    }
    assert!(manifest.contains("unsafe_code = \"deny\""));
    for (path, text) in files("", "Cargo.toml") {
        let is_crate = text.contains("[package]");
        assert!(!is_crate || text.contains("[lints]\nworkspace = true"), "{} has lints of its own", path.display());
    }
}

#[test]
fn only_the_exchange_orders_the_stages() {
    let stages = [
        "head::clean(",
        "policy::route(",
        "policy::limits(",
        "chain::request(",
        "policy::late_limits(",
        "switch::wanted(",
        "bodies::request(",
        "attempt::send(",
        "response::clean(",
        "bodies::response(",
    ];
    for stage in stages {
        let calls: Vec<_> =
            sources().into_iter().flat_map(|(path, code)| vec![path; code.matches(stage).count()]).collect();
        assert_eq!(calls, ["exchange.rs"], "{stage}");
    }
}

#[test]
fn only_the_reply_turns_errors_into_responses() {
    let having = |word: &str| -> Vec<String> {
        sources().into_iter().filter(|(_, code)| code.contains(word)).map(|(path, _)| path).collect()
    };
    assert_eq!(having("application/problem+json"), ["wire/reply.rs"]);
    // The reference prints the status of a reason; nobody else asks for it.
    assert_eq!(having("reason.status()"), ["telemetry/metrics/reference.rs", "wire/reply.rs"]);
    // An exchange has one place for it. The other is an upgrade that nobody asked for, a fault of ours.
    assert_eq!(having("Problem::new("), ["exchange/response.rs", "wire/server/http1.rs"]);
}

#[test]
fn plugins_and_proxy_share_the_abi_alone() {
    let uses = |path: &str| -> Vec<String> {
        let manifest = std::fs::read_to_string(tidegate_tests::workspace().join(path)).unwrap();
        let section = manifest.split("\n[dependencies]\n").nth(1).unwrap_or_default();
        let lines = section.lines().take_while(|line| !line.starts_with('['));
        lines.filter_map(|line| Some(line.split_once(['.', ' '])?.0.to_owned())).collect()
    };
    let ours =
        |path: &str| -> Vec<String> { uses(path).into_iter().filter(|name| name.starts_with("tidegate")).collect() };
    assert_eq!(ours("proxy/Cargo.toml"), ["tidegate-abi"]);
    assert_eq!(uses("sdk/abi/Cargo.toml"), [""; 0]);
    assert_eq!(ours("sdk/macros/Cargo.toml"), ["tidegate-abi"]);
    assert_eq!(ours("sdk/rust/Cargo.toml"), ["tidegate-abi", "tidegate-macros"]);
    let heavy = ["tokio", "hyper", "wasmtime"];
    for (path, _) in files("sdk", "Cargo.toml").into_iter().chain(files("plugins", "Cargo.toml")) {
        let uses = uses(path.to_str().unwrap());
        assert!(uses.iter().all(|name| !heavy.contains(&name.as_str())), "{}: {uses:?}", path.display());
        if path.starts_with("plugins") {
            assert_eq!(ours(path.to_str().unwrap()), ["tidegate-sdk"], "{}", path.display());
        }
    }
}
