//! How a hook goes on: with the exchange, or with an answer of the plugin's own.
//! It does not send anything.

/// What a hook decides.
#[derive(Clone, Debug, Default, PartialEq)]
pub enum Flow {
    /// Go on with the next plugin or stage.
    #[default]
    Continue,
    /// Answer this instead.
    Reply(Reply),
}

/// An answer that the plugin makes itself.
#[derive(Clone, Debug, PartialEq)]
pub struct Reply {
    pub(crate) status: u16,
    pub(crate) headers: Vec<(String, Vec<u8>)>,
    pub(crate) body: Vec<u8>,
}

// === impl Reply ===

impl Reply {
    /// An answer with this status (200 to 599), no headers and no body. The proxy adds what every answer of its own has.
    pub const fn new(status: u16) -> Self {
        Self { status, headers: Vec::new(), body: Vec::new() }
    }

    /// Adds a header.
    #[must_use]
    pub fn header(mut self, name: impl Into<String>, value: impl AsRef<[u8]>) -> Self {
        self.headers.push((name.into(), value.as_ref().to_vec()));
        self
    }

    /// Sets the body.
    #[must_use]
    pub fn body(mut self, body: impl Into<Vec<u8>>) -> Self {
        self.body = body.into();
        self
    }

    /// Sets the body to a JSON value, and `content-type` with it.
    #[must_use]
    pub fn json(self, value: &serde_json::Value) -> Self {
        self.header("content-type", "application/json").body(value.to_string())
    }

    /// The headers in the encoding of the ABI.
    pub(crate) fn encoded_headers(&self) -> Vec<u8> {
        let mut encoded = Vec::new();
        for (name, value) in &self.headers {
            crate::define::put_bytes(&mut encoded, name.as_bytes());
            crate::define::put_bytes(&mut encoded, value);
        }
        encoded
    }
}

impl From<Reply> for Flow {
    fn from(reply: Reply) -> Self {
        Self::Reply(reply)
    }
}
