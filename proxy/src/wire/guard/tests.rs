//! The guard over pipes: bodies, chunks, upgrades, and a corpus with its mutations.

use std::path::Path;
use std::pin::Pin;
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use bytes::BytesMut;
use tokio::io::{AsyncRead, ReadBuf};
use tokio::time::Instant;

use super::framing::{Framing, Progress};
use super::head::{self, BodyLength};
use super::{Guard, HeadFacts};
use crate::error::Reason;
use crate::wire::config::HeadLimits;

const LIMITS: HeadLimits = HeadLimits { max_size: 4096, max_headers: 10, timeout: Duration::from_secs(10) };

/// A stream that arrives in pieces, then ends.
struct Pieces<'a> {
    bytes: &'a [u8],
    /// The lengths of the pieces, over and over.
    lengths: Vec<usize>,
    next: usize,
}

impl AsyncRead for Pieces<'_> {
    fn poll_read(self: Pin<&mut Self>, _: &mut Context<'_>, out: &mut ReadBuf<'_>) -> Poll<std::io::Result<()>> {
        let this = self.get_mut();
        let wanted = this.lengths[this.next % this.lengths.len()];
        this.next += 1;
        let (piece, rest) = this.bytes.split_at(wanted.min(out.remaining()).min(this.bytes.len()));
        out.put_slice(piece);
        this.bytes = rest;
        Poll::Ready(Ok(()))
    }
}

/// All that came through a guard.
#[derive(Debug, PartialEq, Eq)]
struct Passed {
    bytes: Vec<u8>,
    verdicts: Vec<Result<HeadFacts, Reason>>,
    fault: Option<Reason>,
}

/// What hyper would have read of `bytes`, when they arrive in pieces of these lengths and it asks for `room` at a time.
fn pass(bytes: &[u8], lengths: &[usize], room: usize) -> Passed {
    let io = Pieces { bytes, lengths: lengths.to_vec(), next: 0 };
    let (mut guard, handle) = Guard::new(io, BytesMut::new(), LIMITS, Duration::from_secs(10), Instant::now());
    let mut context = Context::from_waker(Waker::noop());
    let (mut passed, mut verdicts) = (Vec::new(), Vec::new());
    let mut space = vec![0; room];
    loop {
        let mut out = ReadBuf::new(&mut space);
        match Pin::new(&mut guard).poll_read(&mut context, &mut out) {
            Poll::Ready(Ok(())) if !out.filled().is_empty() => passed.extend_from_slice(out.filled()),
            _ => break,
        }
    }
    while handle.idle_since().is_none() {
        verdicts.push(handle.next_request());
        handle.exchange_over();
    }
    Passed { bytes: passed, verdicts, fault: handle.fault() }
}

fn whole(bytes: &[u8]) -> Passed {
    pass(bytes, &[usize::MAX], 64 * 1024)
}

fn corpus() -> Vec<(String, Vec<u8>)> {
    let place = Path::new(env!("CARGO_MANIFEST_DIR")).join("src/wire/guard/corpus");
    let files = std::fs::read_dir(place).unwrap().map(|file| file.unwrap());
    files.map(|file| (file.file_name().into_string().unwrap(), std::fs::read(file.path()).unwrap())).collect()
}

/// Enough of a random number for a test that must be the same every time.
fn next(seed: &mut u64) -> usize {
    *seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
    usize::try_from(*seed >> 33).unwrap()
}

#[test]
fn the_corpus_is_judged_as_its_names_say() {
    let corpus = corpus();
    assert!(corpus.len() >= 20);
    for (name, bytes) in corpus {
        let passed = whole(&bytes);
        let kind = name.split('-').next().unwrap();
        let refused = passed.verdicts.iter().any(Result::is_err);
        assert_eq!((refused, passed.fault.is_some()), (kind == "bad", kind == "broken"), "{name}: {passed:?}");
    }
}

#[test]
fn the_pieces_in_which_bytes_arrive_change_nothing() {
    for (name, bytes) in corpus() {
        let expected = whole(&bytes);
        for first in 1..bytes.len() {
            assert_eq!(pass(&bytes, &[first, usize::MAX], 64 * 1024), expected, "{name} split at {first}");
        }
        for (lengths, room) in [(&[1][..], 1), (&[1], 4096), (&[2, 3], 7), (&[usize::MAX], 1), (&[5], 5)] {
            assert_eq!(pass(&bytes, lengths, room), expected, "{name} in pieces of {lengths:?}, {room} at a time");
        }
    }
}

#[test]
fn whatever_a_mutation_makes_of_the_corpus_hyper_can_read_what_passes() {
    let (corpus, mut seed) = (corpus(), 1);
    for _ in 0..20_000 {
        let mut bytes = corpus[next(&mut seed) % corpus.len()].1.clone();
        for _ in 0..=next(&mut seed) % 3 {
            let at = next(&mut seed) % bytes.len();
            match next(&mut seed) % 4 {
                0 => bytes[at] = b"\r\n\0 :;,\t0a/\xff*"[next(&mut seed) % 13],
                1 => drop(bytes.remove(at)),
                2 => bytes.insert(at, bytes[next(&mut seed) % bytes.len()]),
                _ => bytes.rotate_left(at.min(3)),
            }
            if bytes.is_empty() {
                break;
            }
        }
        let expected = whole(&bytes);
        let lengths = [1 + next(&mut seed) % 9, 1 + next(&mut seed) % 40];
        assert_eq!(pass(&bytes, &lengths, 1 + next(&mut seed) % 64), expected, "{}", bytes.escape_ascii());
        if let (Some(end), Some(Ok(_))) =
            (expected.bytes.windows(4).position(|four| four == b"\r\n\r\n"), expected.verdicts.first())
        {
            head::tests::assert_readable(&expected.bytes[..end + 4]);
        }
    }
}

#[test]
fn bodies_pass_unchanged_and_what_lies_behind_is_the_next_head() {
    let bytes = std::fs::read(Path::new(env!("CARGO_MANIFEST_DIR")).join("src/wire/guard/corpus/good-pipelined.http"));
    let bytes = bytes.unwrap();
    let passed = whole(&bytes);
    // All but the empty line before the second head.
    assert_eq!(passed.bytes.len(), bytes.len() - 2);
    let bodies: Vec<_> = passed.verdicts.iter().map(|verdict| verdict.unwrap().body).collect();
    assert_eq!(bodies, [BodyLength::Exact(3), BodyLength::None, BodyLength::Chunked, BodyLength::None]);
}

/// Bytes behind an Upgrade request went upstream before the upgrade was granted
/// (<https://nvd.nist.gov/vuln/detail/CVE-2026-2833>).
#[test]
fn cve_2026_2833_nothing_behind_an_upgrade_request_passes_before_its_answer() {
    let passed = whole(
        b"GET / HTTP/1.1\r\nHost: a\r\nConnection: upgrade\r\nUpgrade: x\r\n\r\nGET /admin HTTP/1.1\r\nHost: a\r\n\r\n",
    );
    assert!(passed.bytes.ends_with(b"Upgrade: x\r\n\r\n"));
    assert_eq!(passed.verdicts.len(), 1);
}

/// A body over HTTP/1.0 that claims to be chunked was framed by one side only
/// (<https://nvd.nist.gov/vuln/detail/CVE-2026-2835>).
#[test]
fn cve_2026_2835_transfer_encoding_over_http_1_0_is_refused() {
    let passed = whole(b"POST / HTTP/1.0\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n");
    assert_eq!(passed.verdicts, [Err(Reason::MalformedHead)]);
}

/// The same flaw's other half: with several codings the body's end was left to guesses
/// (<https://nvd.nist.gov/vuln/detail/CVE-2026-2835>).
#[test]
fn cve_2026_2835_a_body_never_ends_with_the_connection() {
    for coding in ["identity", "chunked, identity", "chunked\r\nTransfer-Encoding: identity", "gzip"] {
        let head = format!("POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: {coding}\r\n\r\n");
        assert_eq!(whole(head.as_bytes()).verdicts, [Err(Reason::MalformedHead)], "{coding}");
    }
}

fn chunked(bytes: &[u8]) -> Progress {
    let mut framing = Framing::new(BodyLength::Chunked, &LIMITS).unwrap();
    framing.feed(bytes).state
}

#[test]
fn chunks_are_read_strictly() {
    let long_extension = format!("5;{}\r\n", "a".repeat(300));
    let long_trailer = format!("0\r\nX: {}\r\n\r\n", "a".repeat(5000));
    let many_trailers = format!("0\r\n{}\r\n", "X: y\r\n".repeat(11));
    let malformed: &[&[u8]] = &[
        b"\r\n",
        b" 5\r\n",
        b"5 \r\n",
        b"5\t\r\n",
        b"0x5\r\n",
        b"+5\r\n",
        b"-5\r\n",
        b"5\n",
        b"5\r\r\n",
        b"5\rX",
        b"g\r\n",
        b"1000000000000000\r\n",
        b"0000000000000000\r\n",
        b";x\r\n",
        b"5;\r\n",
        b"5;=y\r\n",
        b"5;x=\r\n",
        b"5; x\r\n",
        b"5;x =y\r\n",
        b"5;x=\"y\r\n",
        b"5;x=\"y\"z\r\n",
        b"5;x=\"\0\"\r\n",
        b"5;x\n",
        b"3\r\nabc\n",
        b"3\r\nabcd\r\n",
        b"3\r\nabc0\r\n",
        b"0\r\n\n",
        b"0\r\nX\r\n\r\n",
        b"0\r\nX : y\r\n\r\n",
        b"0\r\n X: y\r\n\r\n",
        b"0\r\nX: y\n\r\n",
        b"0\r\nX: \0\r\n\r\n",
        b"0\r\nTransfer-Encoding: x\r\n\r\n",
        b"0\r\nhost: x\r\n\r\n",
        long_extension.as_bytes(),
        long_trailer.as_bytes(),
        many_trailers.as_bytes(),
    ];
    for bytes in malformed {
        assert_eq!(chunked(bytes), Progress::Malformed, "{}", bytes.escape_ascii());
    }
    let good: &[&[u8]] = &[
        b"0\r\n\r\n",
        b"000\r\n\r\n",
        b"A\r\n0123456789\r\n0\r\n\r\n",
        b"1;a;b=c;d=\"e f\\\"\"\r\n\n\r\n0;x\r\n\r\n",
        b"0\r\nX: y\r\nEmpty:\r\n\r\n",
    ];
    for bytes in good {
        assert_eq!(chunked(bytes), Progress::Done, "{}", bytes.escape_ascii());
    }
    assert_eq!(chunked(b"fffffffffffffff\r\nabc"), Progress::Open);
}

#[test]
fn extensions_of_a_whole_body_are_bounded() {
    let body = format!("1;{}\r\nx\r\n", "a".repeat(200)).repeat(50);
    assert_eq!(chunked(body.as_bytes()), Progress::Malformed);
}
