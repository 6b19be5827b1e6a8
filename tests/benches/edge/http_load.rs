//! HTTP/1.1 load by wrk: 64 connections that are kept, each asking again as soon as it was answered.
//! It knows nothing of what it loads.

use std::net::SocketAddr;
use std::process::Command;
use std::time::Duration;

/// How many requests were answered, and the time in which 99 % of them were.
pub fn load(address: SocketAddr, time: Duration) -> (u64, Duration) {
    let time = format!("{}s", time.as_secs());
    let url = format!("http://{address}/users/42");
    let output = Command::new("wrk")
        .args(["-t1", "-c64", "--latency", "-d", &time, &url])
        .output()
        .expect("wrk (Debian package) runs");
    let text = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success() && !text.contains("Non-2xx") && !text.contains("Socket errors"), "{text}");
    let line = |part: fn(&str) -> bool| {
        text.lines().map(str::trim).find(|line| part(line)).unwrap_or_else(|| panic!("{text}"))
    };
    let count = line(|line| line.contains(" requests in ")).split(' ').next().unwrap().parse().unwrap();
    (count, duration(line(|line| line.starts_with("99%")).split_whitespace().last().unwrap()))
}

/// `1.23ms` and the like.
fn duration(text: &str) -> Duration {
    let split = text.find(|c: char| c.is_ascii_alphabetic()).unwrap();
    let number: f64 = text[..split].parse().unwrap();
    Duration::from_secs_f64(match &text[split..] {
        "us" => number / 1e6,
        "ms" => number / 1e3,
        _ => number,
    })
}
