//! The thread that writes lines to standard output, standard error or a file.
//! It does not know what a line says, and nobody waits for it.
//!
//! What cannot be written (disk full, the reader gone) stays, up to a bound, and is tried again with the next batch. A line
//! counts as written when its last byte is, so a line is never torn by an error.

use std::fs::File;
use std::io::{self, Write as _};
use std::os::fd::AsFd as _;
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{self, Receiver, RecvTimeoutError, SyncSender, TrySendError};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use crate::telemetry::config::LogOutput;
use crate::telemetry::metrics::Counter;
use crate::telemetry::outage::Watch;

/// Where lines go.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(in crate::telemetry) enum Output {
    Stdout,
    Stderr,
    File(PathBuf),
}

/// What became of lines.
#[derive(Clone, Debug)]
pub(in crate::telemetry) struct Counts {
    pub exported: Counter,
    pub queue_full: Counter,
    pub write_failed: Counter,
    pub shutdown: Counter,
}

/// The writer, seen from outside. Dropping it without [`Writer::shutdown`] leaves the thread to end with its last sender.
#[derive(Debug)]
pub(in crate::telemetry) struct Writer {
    sender: Sender,
    finished: Receiver<()>,
    watch: Watch,
}

/// Hands lines to the writer.
#[derive(Clone, Debug)]
pub(in crate::telemetry) struct Sender {
    queue: SyncSender<Message>,
    orders: Arc<Orders>,
    counts: Option<Counts>,
}

#[derive(Debug)]
enum Message {
    Lines {
        bytes: Vec<u8>,
        lines: u64,
    },
    /// See [`Orders`].
    Look,
}

/// What the writer is told beside the queue, so that it hears it even when the queue is full.
#[derive(Debug, Default)]
struct Orders {
    reopen: AtomicBool,
    output: Mutex<Option<Output>>,
    /// The latest time at which to be done.
    finish: Mutex<Option<Instant>>,
}

/// The thread's own state.
struct Thread {
    output: Output,
    file: Option<File>,
    /// What could not be written yet; at its start the rest of a line that was begun.
    pending: Vec<u8>,
    counts: Option<Counts>,
    watch: Watch,
}

/// Batches of about 64 KiB: 4 MiB wait at most.
const QUEUE: usize = 64;
/// Lines that come one by one, as diagnostics do: what a start or a reload of many plugins has to say must not crowd out the rest.
const LINES: usize = 2048;
/// What may wait for a file that cannot be written, in bytes.
const MAX_PENDING: usize = 1024 * 1024;
/// How long after an error the next try is, where no new batch comes.
const RETRY: Duration = Duration::from_millis(250);

// === impl Writer ===

impl Writer {
    /// Starts the thread. Without counts nothing is counted and nothing said of errors, and each message is taken for one line.
    ///
    /// # Errors
    /// The thread cannot be started.
    pub(in crate::telemetry) fn start(name: &str, output: Output, counts: Option<Counts>) -> io::Result<Self> {
        let (queue, messages) = mpsc::sync_channel(if counts.is_some() { QUEUE } else { LINES });
        let (done, finished) = mpsc::sync_channel(1);
        let orders = Arc::<Orders>::default();
        let sender = Sender { queue, orders: Arc::clone(&orders), counts: counts.clone() };
        let lost = counts.iter().flat_map(|counts| [counts.queue_full.clone(), counts.write_failed.clone()]);
        let watch = Watch::new(lost.collect());
        let mut writer = Thread { output, file: None, pending: Vec::new(), counts, watch: watch.clone() };
        thread::Builder::new().name(name.to_owned()).spawn(move || {
            writer.run(&messages, &orders);
            // Nobody waits for it where there was no shutdown.
            let _ = done.send(());
        })?;
        Ok(Self { sender, finished, watch })
    }

    pub(in crate::telemetry) fn sender(&self) -> Sender {
        self.sender.clone()
    }

    /// Whether lines get out.
    pub(in crate::telemetry) fn watch(&self) -> Watch {
        self.watch.clone()
    }

    /// Opens the file anew, after it was moved away.
    pub(in crate::telemetry) fn reopen(&self) {
        self.sender.orders.reopen.store(true, Ordering::Relaxed);
        self.look();
    }

    /// Writes what comes from now on somewhere else.
    pub(in crate::telemetry) fn redirect(&self, output: Output) {
        *lock(&self.sender.orders.output) = Some(output);
        self.look();
    }

    /// Writes what is queued, and ends. Returns when that is done, or the time is up.
    pub(in crate::telemetry) fn shutdown(self, bound: Duration) {
        *lock(&self.sender.orders.finish) = Some(Instant::now() + bound);
        self.look();
        // A thread that hangs in a write is left behind; the process is about to end.
        let _ = self.finished.recv_timeout(bound);
    }

    fn look(&self) {
        // A full queue has the writer's attention already.
        let _ = self.sender.queue.try_send(Message::Look);
    }
}

// === impl Sender ===

impl Sender {
    /// A sender that nobody listens to.
    pub(in crate::telemetry) fn nowhere() -> Self {
        Self { queue: mpsc::sync_channel(0).0, orders: Arc::default(), counts: None }
    }

    /// Never waits.
    pub(in crate::telemetry) fn send(&self, bytes: Vec<u8>, lines: u64) {
        let sent = self.queue.try_send(Message::Lines { bytes, lines });
        let Some(counts) = &self.counts else { return };
        match sent {
            Ok(()) => {}
            Err(TrySendError::Full(_)) => counts.queue_full.add(lines),
            Err(TrySendError::Disconnected(_)) => counts.shutdown.add(lines),
        }
    }
}

// === impl Output ===

impl From<&LogOutput> for Output {
    fn from(output: &LogOutput) -> Self {
        match output {
            LogOutput::Stdout => Self::Stdout,
            LogOutput::File(path) => Self::File(path.clone()),
        }
    }
}

impl Output {
    /// A handle without a buffer of its own.
    pub(in crate::telemetry) fn open(&self) -> io::Result<File> {
        match self {
            Self::Stdout => Ok(File::from(io::stdout().as_fd().try_clone_to_owned()?)),
            Self::Stderr => Ok(File::from(io::stderr().as_fd().try_clone_to_owned()?)),
            Self::File(path) => File::options().append(true).create(true).open(path),
        }
    }
}

// === impl Thread ===

impl Thread {
    fn run(&mut self, messages: &Receiver<Message>, orders: &Orders) {
        loop {
            let received = if self.pending.is_empty() {
                messages.recv().map_err(|_| RecvTimeoutError::Disconnected)
            } else {
                messages.recv_timeout(RETRY)
            };
            self.obey(orders);
            match received {
                Ok(Message::Lines { bytes, lines }) => self.take(bytes, lines),
                Ok(Message::Look) => {}
                Err(RecvTimeoutError::Timeout) => self.write(),
                Err(RecvTimeoutError::Disconnected) => return self.finish(messages, Instant::now()),
            }
            if let Some(deadline) = *lock(&orders.finish) {
                return self.finish(messages, deadline);
            }
        }
    }

    fn finish(&mut self, messages: &Receiver<Message>, deadline: Instant) {
        while let Ok(message) = messages.try_recv() {
            match message {
                Message::Lines { lines, .. } if Instant::now() > deadline => {
                    self.count(|counts| &counts.shutdown, lines)
                }
                Message::Lines { bytes, lines } => self.take(bytes, lines),
                Message::Look => {}
            }
        }
        self.write();
        self.count(|counts| &counts.shutdown, line_feeds(&self.pending));
    }

    fn obey(&mut self, orders: &Orders) {
        let output = lock(&orders.output).take();
        let moved = output.is_some();
        if let Some(output) = output {
            self.output = output;
        }
        if orders.reopen.swap(false, Ordering::Relaxed) || moved {
            // Not with the next line: whoever moved it away may wait for the new one. What is wrong is said when there is a line.
            self.file = self.output.open().ok();
        }
    }

    fn take(&mut self, bytes: Vec<u8>, lines: u64) {
        if self.pending.is_empty() {
            self.pending = bytes;
        } else if self.pending.len() + bytes.len() <= MAX_PENDING {
            self.pending.extend_from_slice(&bytes);
        } else {
            self.count(|counts| &counts.write_failed, lines);
        }
        self.write();
    }

    fn write(&mut self) {
        let mut written = 0;
        self.watch.begin();
        let result = self.attempt(&mut written);
        let exported = line_feeds(self.pending.get(..written).unwrap_or_default());
        self.count(|counts| &counts.exported, exported);
        self.pending.drain(..written);
        match result {
            Ok(()) => {
                if self.watch.succeed() && self.counts.is_some() {
                    tracing::info!(output = ?self.output, "access log is written again");
                }
            }
            Err(error) => {
                // A file may be there again when it is opened anew; standard output will not.
                self.file = None;
                if self.watch.fail(&error) && self.counts.is_some() {
                    tracing::error!(output = ?self.output, %error, "access log cannot be written, trying again");
                }
            }
        }
    }

    fn attempt(&mut self, written: &mut usize) -> io::Result<()> {
        while let Some(rest) = self.pending.get(*written..).filter(|rest| !rest.is_empty()) {
            let file = match &mut self.file {
                Some(file) => file,
                none => none.insert(self.output.open()?),
            };
            match file.write(rest) {
                Ok(0) => return Err(io::ErrorKind::WriteZero.into()),
                Ok(count) => *written += count,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
        Ok(())
    }

    fn count(&self, which: impl Fn(&Counts) -> &Counter, lines: u64) {
        if let Some(counts) = &self.counts {
            which(counts).add(lines);
        }
    }
}

fn line_feeds(bytes: &[u8]) -> u64 {
    memchr::memchr_iter(b'\n', bytes).count() as u64
}

fn lock<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
