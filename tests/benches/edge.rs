//! CPU time per request of Tidegate beside nginx, or beside itself without plugins, in one run: each one worker on core 0, load
//! and backend on core 1.
//! It knows the proxies only as their users do: a configuration, a port, a process.
//!
//! `cargo bench -p tidegate-tests --bench edge -- [CASE...] [--seconds 5] [--rounds 3] [--only nginx]`; needs Linux with two cores, nginx, wrk, taskset. Exits 1 where
//! a bar is missed.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing, clippy::print_stdout)]

#[path = "edge/case.rs"]
mod case;
#[path = "edge/cpu.rs"]
mod cpu;
#[path = "edge/echo.rs"]
mod echo;
#[path = "edge/guest.rs"]
mod guest;
#[path = "edge/http_load.rs"]
mod http_load;
#[path = "edge/nginx.rs"]
mod nginx;

use std::process::ExitCode;
use std::time::Duration;

use case::{CASES, Case, Side};

/// What one side did in one round.
#[derive(Clone, Copy, Debug)]
pub struct Measured {
    /// Requests, or round trips of two messages.
    pub count: u64,
    pub elapsed: Duration,
    /// CPU time of the proxy.
    pub cpu: Duration,
    pub p99: Duration,
}

fn main() -> ExitCode {
    let mut missed = false;
    let (names, seconds, rounds, only) = arguments();
    let chosen: Vec<&Case> = CASES
        .iter()
        .filter(|case| names.is_empty() || names.iter().any(|name| case.name.contains(name.as_str())))
        .collect();
    cpu::pin(std::process::id(), cpu::LOAD_CORE);
    println!(
        "one worker on core {}, load and backend on core {}; {rounds} rounds of {seconds} s, medians",
        cpu::PROXY_CORE,
        cpu::LOAD_CORE
    );
    println!(
        "{:<12} {:<9} {:>12} {:>12} {:>10} {:>10}",
        "case", "proxy", "us/request", "requests/s", "p99 ms", "ratio"
    );
    for case in chosen {
        let mut sides = vec![Side::start_peer(case)];
        if only.is_none() {
            sides.push(Side::start_tidegate(case));
        }
        let mut measured = vec![Vec::new(); sides.len()];
        for side in &sides {
            // Connections, caches and pools as they are after a while.
            side.load(case, Duration::from_secs(1));
        }
        for _ in 0..rounds {
            for (side, measured) in sides.iter().zip(&mut measured) {
                measured.push(side.load(case, Duration::from_secs(seconds)));
            }
        }
        let costs: Vec<_> = measured.iter().map(|rounds| median(rounds.iter().map(cost).collect())).collect();
        for ((side, rounds), cost) in sides.iter().zip(&measured).zip(&costs) {
            let rate = median(rounds.iter().map(|one| per_second(one.count, one.elapsed)).collect());
            let p99 = median(rounds.iter().map(|one| one.p99.as_secs_f64() * 1e3).collect());
            println!(
                "{:<12} {:<9} {cost:>12.2} {rate:>12.0} {p99:>10.2} {:>9.2}x",
                case.name,
                side.name(),
                cost / costs[0]
            );
        }
        if let [peer, tidegate] = costs[..] {
            let reached = case.bar.is_reached(tidegate, peer);
            missed |= !reached;
            let verdict = if reached { "reached" } else { "MISSED" };
            let added = tidegate - peer;
            println!("{:<12} bar: {}, {}: {verdict} ({added:+.2} us)", case.name, case.against, case.bar);
        }
    }
    if missed { ExitCode::FAILURE } else { ExitCode::SUCCESS }
}

/// Microseconds of CPU for each request.
fn cost(measured: &Measured) -> f64 {
    measured.cpu.as_secs_f64() * 1e6 / per_second(measured.count, Duration::from_secs(1))
}

#[allow(clippy::cast_precision_loss, reason = "counts of a bench")]
fn per_second(count: u64, elapsed: Duration) -> f64 {
    count as f64 / elapsed.as_secs_f64()
}

fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    values[values.len() / 2]
}

fn arguments() -> (Vec<String>, u64, usize, Option<String>) {
    let (mut names, mut seconds, mut rounds, mut only) = (Vec::new(), 5, 3, None);
    let mut arguments = std::env::args().skip(1);
    while let Some(argument) = arguments.next() {
        match argument.as_str() {
            // Said by cargo itself.
            "--bench" => {}
            "--seconds" => seconds = arguments.next().expect("a number").parse().expect("a number"),
            "--rounds" => rounds = arguments.next().expect("a number").parse().expect("a number"),
            "--only" => only = arguments.next().filter(|side| side == "nginx"),
            name if CASES.iter().any(|case| case.name.contains(name)) => names.push(name.to_owned()),
            other => {
                let known: Vec<_> = CASES.iter().map(|case| case.name).collect();
                println!("`{other}` is no case; there are: {}", known.join(", "));
                std::process::exit(64);
            }
        }
    }
    (names, seconds, rounds, only)
}
