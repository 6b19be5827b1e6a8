//! The writer against files that cannot be written and readers that do not read.

use std::io::Read as _;
use std::time::Duration;

use super::super::writer::{Counts, Output, Writer};
use crate::telemetry::metrics::Registry;
use crate::telemetry::metrics::catalogue::Catalogue;
use crate::telemetry::tests::{Scratch, total};

fn counts(registry: &Registry) -> Counts {
    crate::telemetry::counts(registry, &Catalogue::new(registry).unwrap())
}

fn lines(registry: &Registry, reason: &str) -> f64 {
    total(registry, "tidegate.telemetry.log_lines", &[reason])
}

#[test]
fn a_full_disk_loses_what_does_not_fit_in_memory_and_counts_it() {
    let registry = Registry::new();
    let writer = Writer::start("test", Output::File("/dev/full".into()), Some(counts(&registry))).unwrap();
    let sender = writer.sender();
    let batch = b"0123456789abcde\n".repeat(1024);
    // Four times what may wait.
    for _ in 0..256 {
        sender.send(batch.clone(), 1024);
    }
    writer.shutdown(Duration::from_secs(30));
    let lost = ["queue_full", "write_failed", "shutdown"].map(|reason| lines(&registry, reason));
    assert_eq!(lost.iter().sum::<f64>(), 256.0 * 1024.0, "{lost:?}");
    assert_eq!(lines(&registry, "exported"), 0.0);
}

#[test]
fn a_file_that_comes_back_gets_what_waited() {
    let scratch = Scratch::new("back");
    let path = scratch.file("later/access.log");
    let registry = Registry::new();
    let writer = Writer::start("test", Output::File(path.clone()), Some(counts(&registry))).unwrap();
    writer.sender().send(b"one\n".to_vec(), 1);
    writer.sender().send(b"two\n".to_vec(), 1);
    std::fs::create_dir(scratch.file("later")).unwrap();
    writer.shutdown(Duration::from_secs(30));
    assert_eq!(std::fs::read_to_string(path).unwrap(), "one\ntwo\n");
    assert_eq!(lines(&registry, "exported"), 2.0);
}

#[test]
fn a_reader_that_does_not_read_holds_up_nobody() {
    let scratch = Scratch::new("pipe");
    let path = scratch.file("pipe");
    let made = std::process::Command::new("mkfifo").arg(&path).status().unwrap();
    assert!(made.success());
    let reader = std::thread::spawn({
        let path = path.clone();
        move || std::fs::File::open(path).unwrap()
    });
    let registry = Registry::new();
    let writer = Writer::start("test", Output::File(path), Some(counts(&registry))).unwrap();
    let mut reader = {
        writer.sender().send(b"x\n".to_vec(), 1);
        reader.join().unwrap()
    };
    let batch = b"x\n".repeat(8192);
    // The pipe holds 64 KiB and the queue 256 batches; sending comes back all the same.
    for _ in 0..400 {
        writer.sender().send(batch.clone(), 8192);
    }
    assert!(lines(&registry, "queue_full") > 0.0);
    let rest = std::thread::spawn(move || {
        let mut text = Vec::new();
        reader.read_to_end(&mut text).unwrap();
        text.len() / 2
    });
    writer.shutdown(Duration::from_secs(30));
    let read = rest.join().unwrap();
    assert_eq!(read as f64, lines(&registry, "exported"));
    assert_eq!(read as f64 + lines(&registry, "dropped"), 400.0 * 8192.0 + 1.0);
}
