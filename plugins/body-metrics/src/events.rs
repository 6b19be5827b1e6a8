//! A stream of server-sent events, as HTML has it: from pieces of any size to the data of each event.
//! It keeps one event at a time, up to a limit, and knows nothing of what stands in it.

/// The stream so far.
#[derive(Debug, Default)]
pub struct Events {
    /// The beginning of a line whose end is not there yet.
    line: Vec<u8>,
    /// The data of the event so far.
    data: Vec<u8>,
    /// The event is longer than the limit: it is passed over.
    is_too_long: bool,
    /// The line before ended with a carriage return, to which a line feed may belong.
    after_return: bool,
}

impl Events {
    /// Reads a piece; calls `event` with the data of each event that is complete with it. Returns how many were too long.
    pub fn read(&mut self, piece: &[u8], limit: usize, mut event: impl FnMut(&[u8])) -> u32 {
        let mut too_long = 0;
        let mut rest = piece;
        while let Some(at) = rest.iter().position(|&byte| byte == b'\n' || byte == b'\r') {
            let (line, end) = rest.split_at(at);
            let (&end, after) = end.split_first().unwrap_or((&b'\n', &[]));
            rest = after;
            // A carriage return and its line feed are one end.
            if std::mem::replace(&mut self.after_return, end == b'\r') && end == b'\n' && line.is_empty() {
                continue;
            }
            self.keep(line, limit);
            too_long += self.end_line(limit, &mut event);
        }
        if !rest.is_empty() {
            self.after_return = false;
        }
        self.keep(rest, limit);
        too_long
    }

    fn keep(&mut self, part: &[u8], limit: usize) {
        match self.line.len() + part.len() <= limit {
            true => self.line.extend_from_slice(part),
            false => self.is_too_long = true,
        }
    }

    fn end_line(&mut self, limit: usize, event: &mut impl FnMut(&[u8])) -> u32 {
        let mut too_long = 0;
        if self.line.is_empty() {
            if self.is_too_long {
                too_long = 1;
            } else if !self.data.is_empty() {
                event(&self.data);
            }
            self.data.clear();
            self.is_too_long = false;
        } else if let Some(data) = self.line.strip_prefix(b"data:") {
            let data = data.strip_prefix(b" ").unwrap_or(data);
            match self.data.len() + data.len() < limit {
                true => {
                    if !self.data.is_empty() {
                        self.data.push(b'\n');
                    }
                    self.data.extend_from_slice(data);
                }
                false => self.is_too_long = true,
            }
        }
        self.line.clear();
        too_long
    }
}

#[cfg(test)]
mod tests {
    use super::Events;

    const STREAM: &str =
        ": hello\r\n\r\nevent: a\ndata: one\n\ndata:two\rdata: three\r\rid: 7\n\ndata: [DONE]\n\nretry: 5\ndata: cut";

    fn read(stream: &str, piece: usize, limit: usize) -> (Vec<String>, u32) {
        let (mut events, mut all, mut too_long) = (Events::default(), Vec::new(), 0);
        for piece in stream.as_bytes().chunks(piece) {
            too_long += events.read(piece, limit, |data| all.push(String::from_utf8(data.to_vec()).unwrap()));
        }
        (all, too_long)
    }

    #[test]
    fn events_are_the_same_in_pieces_of_any_size() {
        for piece in 1..STREAM.len() {
            assert_eq!(read(STREAM, piece, 100).0, ["one", "two\nthree", "[DONE]"], "pieces of {piece}");
        }
    }

    #[test]
    fn an_event_that_is_too_long_is_passed_over_and_the_next_one_read() {
        let long = format!("data: {}\n\ndata: short\n\n", "x".repeat(50));
        for piece in [1, 7, 1000] {
            assert_eq!(read(&long, piece, 20), (vec!["short".to_owned()], 1), "pieces of {piece}");
        }
        let lines = format!("{}\ndata: short\n\n", "data: 12345\n".repeat(9));
        assert_eq!(read(&lines, 5, 20), (vec!["short".to_owned()], 1));
    }
}
