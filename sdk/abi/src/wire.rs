//! The one encoding of lists that cross the border: little-endian numbers, and byte strings that follow their length.
//! It knows nothing of what the lists mean.
//!
//! * a label set: its name, `u32` count, then that many values;
//! * a metric: `u32` kind, name, unit, help, `u32` count of labels and for each the number of its label set, as `u32`,
//!   then `u32` count of bucket boundaries and each as `f64`;
//! * headers: name and value, over and over, to the end;
//! * a call-out: the upstream's name, the method, the path with its query, `u32` milliseconds until it is given up (0: 5 s), the headers as
//!   one byte string, the body as one byte string.

/// The bytes end early, or a length points beyond them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Malformed;

/// Reads the encoding.
#[derive(Clone, Debug)]
pub struct Reader<'a> {
    rest: &'a [u8],
}

impl<'a> Reader<'a> {
    /// A reader at the start of `bytes`.
    pub const fn new(bytes: &'a [u8]) -> Self {
        Self { rest: bytes }
    }

    /// Whether all was read.
    pub const fn is_empty(&self) -> bool {
        self.rest.is_empty()
    }

    /// The next `u32`.
    pub fn u32(&mut self) -> Result<u32, Malformed> {
        Ok(u32::from_le_bytes(self.array()?))
    }

    /// The next `f64`.
    pub fn f64(&mut self) -> Result<f64, Malformed> {
        Ok(f64::from_le_bytes(self.array()?))
    }

    /// The next byte string.
    pub fn bytes(&mut self) -> Result<&'a [u8], Malformed> {
        let length = self.u32()? as usize;
        let (bytes, rest) = self.rest.split_at_checked(length).ok_or(Malformed)?;
        self.rest = rest;
        Ok(bytes)
    }

    /// The next byte string, which must be UTF-8.
    pub fn text(&mut self) -> Result<&'a str, Malformed> {
        core::str::from_utf8(self.bytes()?).map_err(|_| Malformed)
    }

    fn array<const N: usize>(&mut self) -> Result<[u8; N], Malformed> {
        let (bytes, rest) = self.rest.split_first_chunk::<N>().ok_or(Malformed)?;
        self.rest = rest;
        Ok(*bytes)
    }
}
