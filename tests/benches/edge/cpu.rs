//! Cores and CPU time, as Linux tells them.
//! It knows nothing of what runs there.

use std::process::Command;
use std::time::Duration;

/// Where the proxy under test runs, alone.
pub const PROXY_CORE: u32 = 0;
/// Where everything else runs.
pub const LOAD_CORE: u32 = 1;

/// Keeps a process, with all its threads, on one core; what it starts later stays there too.
pub fn pin(process: u32, core: u32) {
    let (core, process) = (core.to_string(), process.to_string());
    let done =
        Command::new("taskset").args(["-a", "-c", "-p", &core, &process]).output().expect("taskset (util-linux) runs");
    assert!(done.status.success(), "taskset: {}", String::from_utf8_lossy(&done.stderr));
}

/// The CPU time of a process and its children so far, from their threads' own clocks (nanoseconds; `stat` has only ticks).
pub fn time(process: u32) -> Duration {
    let mut whole = Duration::ZERO;
    let Ok(threads) = std::fs::read_dir(format!("/proc/{process}/task")) else { return whole };
    for thread in threads.map_while(Result::ok) {
        let read = |file: &str| std::fs::read_to_string(thread.path().join(file)).unwrap_or_default();
        whole +=
            Duration::from_nanos(read("schedstat").split(' ').next().and_then(|word| word.parse().ok()).unwrap_or(0));
        whole += read("children").split_whitespace().filter_map(|word| word.parse().ok()).map(time).sum::<Duration>();
    }
    whole
}
