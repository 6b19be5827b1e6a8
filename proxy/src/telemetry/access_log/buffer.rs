//! One worker's lines until they are handed to the writer.
//! It never waits: what the writer has no room for is dropped and counted.

use std::cell::{Cell, RefCell};

use super::writer::Sender;

/// Lines that wait, at most for the worker's next flush.
#[derive(Debug)]
pub struct LogBuffer {
    bytes: RefCell<Vec<u8>>,
    lines: Cell<u64>,
    sender: Sender,
}

/// Enough that a hand-over, which wakes the writer, costs little; so little that it is in the processor's cache.
const FULL: usize = 64 * 1024;
/// The last line may go beyond.
const CAPACITY: usize = FULL + 4 * 1024;

// === impl LogBuffer ===

impl LogBuffer {
    pub(in crate::telemetry) fn new(sender: Sender) -> Self {
        Self { bytes: RefCell::default(), lines: Cell::new(0), sender }
    }

    /// Adds the line that `write` appends.
    pub(in crate::telemetry) fn line(&self, write: impl FnOnce(&mut Vec<u8>)) {
        let mut bytes = self.bytes.borrow_mut();
        if bytes.capacity() == 0 {
            bytes.reserve(CAPACITY);
        }
        write(&mut bytes);
        self.lines.set(self.lines.get() + 1);
        let full = bytes.len() >= FULL;
        drop(bytes);
        if full {
            self.flush();
        }
    }

    /// Hands over what is there.
    pub(in crate::telemetry) fn flush(&self) {
        let lines = self.lines.take();
        if lines > 0 {
            self.sender.send(self.bytes.take(), lines);
        }
    }
}

impl Drop for LogBuffer {
    fn drop(&mut self) {
        self.flush();
    }
}
