//! The headers or trailers of the request or the response, read and changed in place on the host.
//! Nothing of them is kept on this side.

use tidegate_abi::Reader;

use crate::{Bytes, Refused, ffi};

/// The headers of one message. Names are case-insensitive; values are bytes.
///
/// Request headers can be changed in `request_head` and `upstream_chosen`, response headers in `response_head`, and both in the hook of
/// the message's body while the head waits for it ([`BodyMode::peek`](crate::BodyMode::peek),
/// [`BodyMode::buffer`](crate::BodyMode::buffer)); trailers in their own hooks. Elsewhere that is [`Refused::Stage`]. Headers that frame the message belong to the proxy and are [`Refused::Invalid`].
#[derive(Clone, Copy, Debug)]
pub struct Headers {
    map: i32,
}

// === impl Headers ===

impl Headers {
    pub(crate) const fn new(map: i32) -> Self {
        Self { map }
    }

    /// The first value of a header.
    pub fn get(&self, name: &str) -> Option<Bytes> {
        self.value(name, 0)
    }

    /// Every value of a header, in order.
    pub fn all(&self, name: &str) -> Vec<Bytes> {
        (0..).map_while(|index| self.value(name, index)).collect()
    }

    /// Whether there is such a header.
    pub fn contains(&self, name: &str) -> bool {
        ffi::header_read(self.map, name, 0, &mut []) >= 0
    }

    /// All headers, as name and value.
    pub fn list(&self) -> Vec<(String, Bytes)> {
        let Some(encoded) = Bytes::read(|buffer| ffi::headers_read(self.map, buffer)) else { return Vec::new() };
        let mut reader = Reader::new(&encoded);
        let mut all = Vec::new();
        while let (Ok(name), Ok(value)) = (reader.bytes(), reader.bytes()) {
            all.push((String::from_utf8_lossy(name).into_owned(), value.into()));
        }
        all
    }

    /// Replaces all values of a header.
    ///
    /// # Errors
    /// When the host refuses it; then nothing has changed.
    pub fn set(&self, name: &str, value: impl AsRef<[u8]>) -> Result<(), Refused> {
        Refused::check(ffi::header_set(self.map, name, value.as_ref())).map(drop)
    }

    /// Adds a value to a header.
    ///
    /// # Errors
    /// When the host refuses it; then nothing has changed.
    pub fn append(&self, name: &str, value: impl AsRef<[u8]>) -> Result<(), Refused> {
        Refused::check(ffi::header_add(self.map, name, value.as_ref())).map(drop)
    }

    /// Removes a header. Returns how many values it had.
    ///
    /// # Errors
    /// When the host refuses it; then nothing has changed.
    pub fn remove(&self, name: &str) -> Result<usize, Refused> {
        Refused::check(ffi::header_remove(self.map, name)).map(|count| usize::try_from(count).unwrap_or_default())
    }

    fn value(&self, name: &str, index: i32) -> Option<Bytes> {
        Bytes::read(|buffer| ffi::header_read(self.map, name, index, buffer))
    }
}
