//! A value that was read from the exchange: bytes, since a client may send any.
//! It does not know what was read.

use std::borrow::Cow;
use std::fmt;
use std::ops::Deref;

/// Values up to here need no allocation: most header values and paths, and every id.
const INLINE: usize = 62;

/// Bytes of the exchange. They are text only where the client kept to the rules.
#[derive(Clone)]
pub struct Bytes(Kept);

#[derive(Clone)]
enum Kept {
    Inline { length: u8, bytes: [u8; INLINE] },
    Heap(Vec<u8>),
}

// === impl Bytes ===

impl Bytes {
    /// Reads a value through a host function that fills a buffer and returns the value's full length, or a negative status.
    pub(crate) fn read(read: impl Fn(&mut [u8]) -> i32) -> Option<Self> {
        let mut bytes = [0; INLINE];
        let length = usize::try_from(read(&mut bytes)).ok()?;
        match u8::try_from(length) {
            Ok(short) if length <= INLINE => Some(Self(Kept::Inline { length: short, bytes })),
            _ => {
                let mut bytes = vec![0; length];
                let length = usize::try_from(read(&mut bytes)).ok()?;
                bytes.truncate(length);
                Some(Self(Kept::Heap(bytes)))
            }
        }
    }

    /// No bytes.
    pub(crate) fn empty() -> Self {
        Self::from(&[][..])
    }

    /// The text, if the bytes are UTF-8.
    pub fn to_str(&self) -> Option<&str> {
        std::str::from_utf8(self).ok()
    }

    /// The text; what is not UTF-8 is replaced.
    pub fn to_str_lossy(&self) -> Cow<'_, str> {
        String::from_utf8_lossy(self)
    }
}

impl Deref for Bytes {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        match &self.0 {
            Kept::Inline { length, bytes } => bytes.get(..usize::from(*length)).unwrap_or_default(),
            Kept::Heap(bytes) => bytes,
        }
    }
}

impl AsRef<[u8]> for Bytes {
    fn as_ref(&self) -> &[u8] {
        self
    }
}

impl From<&[u8]> for Bytes {
    fn from(value: &[u8]) -> Self {
        match (u8::try_from(value.len()), value.len() <= INLINE) {
            (Ok(length), true) => {
                let mut bytes = [0; INLINE];
                bytes.iter_mut().zip(value).for_each(|(to, from)| *to = *from);
                Self(Kept::Inline { length, bytes })
            }
            _ => Self(Kept::Heap(value.to_vec())),
        }
    }
}

impl From<Vec<u8>> for Bytes {
    fn from(value: Vec<u8>) -> Self {
        Self(Kept::Heap(value))
    }
}

impl Default for Bytes {
    fn default() -> Self {
        Self::empty()
    }
}

impl fmt::Debug for Bytes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "b\"{}\"", self.escape_ascii())
    }
}

impl fmt::Display for Bytes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&self.to_str_lossy())
    }
}

impl PartialEq for Bytes {
    fn eq(&self, other: &Self) -> bool {
        **self == **other
    }
}

impl Eq for Bytes {}

impl PartialEq<str> for Bytes {
    fn eq(&self, other: &str) -> bool {
        **self == *other.as_bytes()
    }
}

impl PartialEq<&str> for Bytes {
    fn eq(&self, other: &&str) -> bool {
        **self == *other.as_bytes()
    }
}

impl PartialEq<[u8]> for Bytes {
    fn eq(&self, other: &[u8]) -> bool {
        **self == *other
    }
}
