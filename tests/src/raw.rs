//! Bytes on a socket, as they are: for what no well-behaved client or server would send.
//! It repairs nothing and hides nothing.

use std::io::{ErrorKind, Read, Write};
use std::net::{Shutdown, SocketAddr, TcpStream};
use std::time::Duration;

use crate::PATIENCE;

/// Connects to a server, to speak any bytes to it.
#[track_caller]
pub fn raw(address: SocketAddr) -> RawConnection {
    RawConnection::new(TcpStream::connect(address).unwrap())
}

/// An address where nobody listens.
pub fn nowhere() -> SocketAddr {
    std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap()
}

/// One end of a connection; a read waits at most [`PATIENCE`].
#[derive(Debug)]
pub struct RawConnection {
    stream: TcpStream,
    /// Read, and not asked for yet.
    rest: Vec<u8>,
}

/// One message as it came: a head and the body that its headers announce.
#[derive(Clone, Debug)]
pub struct RawMessage {
    /// Start line and header lines, without the empty line.
    pub head: String,
    pub body: Vec<u8>,
}

// === impl RawConnection ===

impl RawConnection {
    pub(crate) fn new(stream: TcpStream) -> Self {
        stream.set_nodelay(true).unwrap();
        stream.set_read_timeout(Some(PATIENCE)).unwrap();
        Self { stream, rest: Vec::new() }
    }

    /// Our own address.
    pub fn local_address(&self) -> SocketAddr {
        self.stream.local_addr().unwrap()
    }

    /// Sends bytes; a peer that has already closed is no error here, what it says shows at the next read.
    pub fn send(&mut self, bytes: impl AsRef<[u8]>) -> &mut Self {
        let _ = self.stream.write_all(bytes.as_ref());
        self
    }

    /// Sends bytes and says whether the peer took them all.
    pub fn try_send(&mut self, bytes: &[u8]) -> bool {
        self.stream.write_all(bytes).is_ok()
    }

    /// Says that nothing more comes from us.
    pub fn finish(&mut self) -> &mut Self {
        let _ = self.stream.shutdown(Shutdown::Write);
        self
    }

    /// Closes with a reset, like a process that died.
    pub fn reset(self) {
        // Unread bytes in the receive buffer make the kernel answer with a reset; SO_LINGER needs no crate more.
        drop(self.stream);
    }

    /// The next head, or `None` where the peer closed instead.
    #[track_caller]
    pub fn head(&mut self) -> Option<String> {
        loop {
            if let Some(end) = self.rest.windows(4).position(|window| window == b"\r\n\r\n") {
                let head = self.rest.drain(..end + 4).collect::<Vec<_>>();
                return Some(String::from_utf8_lossy(&head[..end]).into_owned());
            }
            if !self.more() {
                return None;
            }
        }
    }

    /// The next request or response with its body.
    #[track_caller]
    pub fn message(&mut self) -> Option<RawMessage> {
        let mut message = RawMessage { head: self.head()?, body: Vec::new() };
        let status = message.head.starts_with("HTTP/").then(|| message.status());
        if message.header("transfer-encoding").is_some() {
            message.body = self.chunked();
        } else if let Some(length) = message.header("content-length") {
            message.body = self.exactly(length.parse().unwrap());
        } else if status.is_some_and(|status| status >= 200 && status != 204 && status != 304) {
            message.body = self.to_end();
        }
        Some(message)
    }

    /// The next response; fails the test where the peer closed instead.
    #[track_caller]
    pub fn response(&mut self) -> RawMessage {
        self.message().expect("a response, and the connection was closed")
    }

    /// The body in chunks, put together; trailers are read over.
    fn chunked(&mut self) -> Vec<u8> {
        let mut body = Vec::new();
        loop {
            let line = self.line();
            let size = usize::from_str_radix(line.split(';').next().unwrap().trim(), 16).unwrap();
            if size == 0 {
                while !self.line().is_empty() {}
                return body;
            }
            body.extend(self.exactly(size));
            assert_eq!(self.line(), "");
        }
    }

    /// The next line, without its end; an empty string at the end of the stream.
    pub fn line(&mut self) -> String {
        loop {
            if let Some(end) = self.rest.windows(2).position(|window| window == b"\r\n") {
                let line = self.rest.drain(..end + 2).collect::<Vec<_>>();
                return String::from_utf8_lossy(&line[..end]).into_owned();
            }
            if !self.more() {
                return String::new();
            }
        }
    }

    /// So many bytes, or fewer where the peer closes before.
    pub fn exactly(&mut self, count: usize) -> Vec<u8> {
        while self.rest.len() < count && self.more() {}
        self.rest.drain(..count.min(self.rest.len())).collect()
    }

    /// All bytes until the peer closes.
    pub fn to_end(&mut self) -> Vec<u8> {
        while self.more() {}
        std::mem::take(&mut self.rest)
    }

    /// Waits for the peer to close; false where it sends something instead, or never does.
    pub fn closed(&mut self) -> bool {
        self.rest.is_empty() && !self.more() && self.rest.is_empty()
    }

    /// Whether the peer has closed by now; what it sent stays to be read.
    pub fn closed_now(&mut self) -> bool {
        self.stream.set_nonblocking(true).unwrap();
        let mut byte = [0; 1];
        let closed = match self.stream.peek(&mut byte) {
            Ok(count) => count == 0,
            Err(error) => error.kind() != ErrorKind::WouldBlock,
        };
        self.stream.set_nonblocking(false).unwrap();
        closed
    }

    /// Whether the peer stays silent for `time`: for "nothing may arrive", where waiting longer could only find more.
    pub fn silent_for(&mut self, time: Duration) -> bool {
        self.stream.set_read_timeout(Some(time)).unwrap();
        let mut byte = [0; 1];
        let silent = self.rest.is_empty()
            && matches!(self.stream.peek(&mut byte), Err(e) if matches!(e.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut));
        self.stream.set_read_timeout(Some(PATIENCE)).unwrap();
        silent
    }

    /// Reads once more; false at the end of the stream, however it ended.
    fn more(&mut self) -> bool {
        let mut buffer = [0; 16 * 1024];
        match self.stream.read(&mut buffer) {
            Ok(0) => false,
            Ok(count) => {
                self.rest.extend_from_slice(&buffer[..count]);
                true
            }
            Err(error) if error.kind() == ErrorKind::Interrupted => true,
            Err(error) if matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut) => {
                panic!("the peer neither sends nor closes; so far: {:?}", String::from_utf8_lossy(&self.rest))
            }
            Err(_) => false,
        }
    }
}

// === impl RawMessage ===

impl RawMessage {
    /// The first line.
    pub fn start_line(&self) -> &str {
        self.head.lines().next().unwrap_or_default()
    }

    /// The status of a response.
    #[track_caller]
    pub fn status(&self) -> u16 {
        self.start_line().split(' ').nth(1).and_then(|word| word.parse().ok()).expect("a status line")
    }

    /// The first value of a header.
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers(name).into_iter().next()
    }

    /// All values of a header.
    pub fn headers(&self, name: &str) -> Vec<&str> {
        let lines = self.head.lines().skip(1).filter_map(|line| line.split_once(':'));
        lines.filter(|(found, _)| found.eq_ignore_ascii_case(name)).map(|(_, value)| value.trim()).collect()
    }

    /// The body as text.
    pub fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }

    /// The body as JSON.
    #[track_caller]
    pub fn json(&self) -> serde_json::Value {
        serde_json::from_slice(&self.body).unwrap_or_else(|error| panic!("{error}: {}", self.text()))
    }
}
