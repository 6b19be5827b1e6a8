//! Other processes, seen from outside: run to the end, memory, signals.
//! It ends nothing that it did not start.

use std::io::Read;
use std::path::Path;
use std::process::{Command, ExitStatus, Stdio};
use std::time::Instant;

use crate::PATIENCE;

/// What a command came to.
#[derive(Debug)]
pub struct Finished {
    pub status: ExitStatus,
    pub stdout: String,
    pub stderr: String,
}

impl Finished {
    /// The exit code; a death by signal fails the test.
    pub fn code(&self) -> i32 {
        self.status.code().unwrap_or_else(|| panic!("ended by a signal: {self:?}"))
    }

    /// Both outputs, the way a terminal shows them.
    pub fn text(&self) -> String {
        format!("{}{}", self.stdout, self.stderr)
    }
}

/// Runs `tidegate` with these arguments in `folder` to its end.
pub fn run(folder: &Path, arguments: &[&str]) -> Finished {
    let mut command = Command::new(crate::tidegate());
    command.args(arguments).current_dir(folder).env_remove("RUST_LOG").env("XDG_CACHE_HOME", crate::binary::caches());
    let mut child = command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    let stdout = reader(child.stdout.take().unwrap());
    let stderr = reader(child.stderr.take().unwrap());
    let begun = Instant::now();
    let status = loop {
        if let Some(status) = child.try_wait().unwrap() {
            break status;
        }
        if begun.elapsed() > PATIENCE * 2 {
            child.kill().unwrap();
            panic!("`tidegate {}` does not end: {}", arguments.join(" "), stderr.join().unwrap());
        }
        std::thread::sleep(std::time::Duration::from_millis(5));
    };
    Finished { status, stdout: stdout.join().unwrap(), stderr: stderr.join().unwrap() }
}

fn reader(mut pipe: impl Read + Send + 'static) -> std::thread::JoinHandle<String> {
    std::thread::spawn(move || {
        let mut bytes = Vec::new();
        pipe.read_to_end(&mut bytes).unwrap();
        String::from_utf8_lossy(&bytes).into_owned()
    })
}

/// Has this process use as many file descriptors as it may, for a test with many connections.
pub fn raise_descriptors() {
    let maximum = rustix::process::getrlimit(rustix::process::Resource::Nofile).maximum;
    let limit = rustix::process::Rlimit { current: maximum, maximum };
    rustix::process::setrlimit(rustix::process::Resource::Nofile, limit).unwrap();
}

/// The bytes of memory that a process holds now.
pub fn resident_bytes(process: u32) -> u64 {
    status_field(process, "VmRSS:") * 1024
}

fn status_field(process: u32, field: &str) -> u64 {
    let status = std::fs::read_to_string(format!("/proc/{process}/status")).unwrap();
    let line = status.lines().find(|line| line.starts_with(field)).expect("the field");
    line.split_whitespace().nth(1).unwrap().parse().unwrap()
}
