//! What the system says of this process, read when metrics are gathered: Linux only, elsewhere these metrics are absent.
//! It knows nothing of the proxy.
//!
//! The names are those that Prometheus' own client libraries give.

use std::fs;
use std::path::Path;

use super::catalogue::Runtime;
use super::{Counter, Gauge, Registry};

/// Ticks a second of the times in `/proc`: a constant of the kernel's interface (`USER_HZ`), the same on every
/// architecture that we build for.
const TICKS: f64 = 100.0;

struct Process {
    cpu: Counter,
    resident_memory: Gauge,
    virtual_memory: Gauge,
    open_fds: Gauge,
    max_fds: Gauge,
    start_time: Gauge,
    threads: Gauge,
}

/// Says which build this is, and has the process' own figures read at each gathering. Once for each registry.
pub fn publish(registry: &Registry, runtime: &Runtime) {
    let shared = registry.shared();
    let target = format!("{}-{}", std::env::consts::OS, std::env::consts::ARCH);
    shared.gauge(&runtime.build_info, &[env!("CARGO_PKG_VERSION"), &target]).set(1.0);
    if !Path::new("/proc/self/stat").exists() {
        return;
    }
    let process = Process {
        cpu: shared.counter(&runtime.process_cpu, &[]),
        resident_memory: shared.gauge(&runtime.process_resident_memory, &[]),
        virtual_memory: shared.gauge(&runtime.process_virtual_memory, &[]),
        open_fds: shared.gauge(&runtime.process_open_fds, &[]),
        max_fds: shared.gauge(&runtime.process_max_fds, &[]),
        start_time: shared.gauge(&runtime.process_start_time, &[]),
        threads: shared.gauge(&runtime.process_threads, &[]),
    };
    registry.before_gather(move || process.read());
}

// === impl Process ===

impl Process {
    /// A file that cannot be read leaves what was read before.
    fn read(&self) {
        self.read_stat();
        self.read_status();
        if let Ok(entries) = fs::read_dir("/proc/self/fd") {
            // One of them is the directory that is being read.
            self.open_fds.set(entries.count().saturating_sub(1) as f64);
        }
        if let Some(max) = open_files_limit() {
            self.max_fds.set(max as f64);
        }
    }

    /// The times, from `proc_pid_stat(5)`.
    fn read_stat(&self) {
        let Ok(stat) = fs::read_to_string("/proc/self/stat") else { return };
        // The second field is the name in parentheses, which may hold anything, so fields are counted after it: the first
        // one there is the third.
        let Some((_, rest)) = stat.rsplit_once(')') else { return };
        let field = |number: usize| rest.split_whitespace().nth(number - 3)?.parse::<f64>().ok();
        if let (Some(user), Some(system)) = (field(14), field(15)) {
            self.cpu.raise_to_f64((user + system) / TICKS);
        }
        if let (Some(booted), Some(started)) = (boot_time(), field(22)) {
            self.start_time.set(booted + started / TICKS);
        }
    }

    /// Memory and threads, from `proc_pid_status(5)`.
    fn read_status(&self) {
        let Ok(status) = fs::read_to_string("/proc/self/status") else { return };
        for line in status.lines() {
            let Some((name, value)) = line.split_once(':') else { continue };
            let Some(value) = value.split_whitespace().next().and_then(|value| value.parse::<f64>().ok()) else {
                continue;
            };
            match name {
                "VmRSS" => _ = self.resident_memory.set(value * 1024.0),
                "VmSize" => _ = self.virtual_memory.set(value * 1024.0),
                "Threads" => _ = self.threads.set(value),
                _ => {}
            }
        }
    }
}

/// Seconds since the Unix epoch, from `proc_stat(5)`.
fn boot_time() -> Option<f64> {
    let stat = fs::read_to_string("/proc/stat").ok()?;
    stat.lines().find_map(|line| line.strip_prefix("btime ")?.trim().parse().ok())
}

/// The soft limit, from `proc_pid_limits(5)`; `None` where there is none.
pub fn open_files_limit() -> Option<u64> {
    let limits = fs::read_to_string("/proc/self/limits").ok()?;
    let line = limits.lines().find_map(|line| line.strip_prefix("Max open files"))?;
    line.split_whitespace().next()?.parse().ok()
}
