//! Spans: the exchange's own, and children that the plugin starts.
//! Whether a span is exported is the host's decision.

use tidegate_abi::{EXCHANGE_SPAN, SpanStatus};

use crate::{Value, ffi};

/// A span. A child ends when it is dropped, or with the exchange at the latest.
#[derive(Debug)]
#[must_use = "a child span ends when it is dropped"]
pub struct Span {
    /// Negative when the host refused to start it: then nothing it does has an effect.
    number: i32,
}

// === impl Span ===

impl Span {
    pub(crate) const fn exchange() -> Self {
        Self { number: EXCHANGE_SPAN }
    }

    /// Starts a child of this span.
    pub fn child(&self, name: &str) -> Self {
        Self { number: if self.number < 0 { self.number } else { ffi::span_start(self.number, name) } }
    }

    /// Sets an attribute.
    pub fn attribute<'a>(&self, key: &str, value: impl Into<Value<'a>>) -> &Self {
        if self.number >= 0 {
            match value.into() {
                Value::Text(text) => ffi::span_attribute_text(self.number, key, text.as_bytes()),
                Value::Bytes(bytes) => ffi::span_attribute_text(self.number, key, &bytes),
                Value::Int(number) => ffi::span_attribute_int(self.number, key, number),
                Value::Float(number) => ffi::span_attribute_float(self.number, key, number),
                Value::Bool(yes) => ffi::span_attribute_bool(self.number, key, yes.into()),
            };
        }
        self
    }

    /// Notes that something happened now.
    pub fn event(&self, name: &str) -> &Self {
        if self.number >= 0 {
            ffi::span_event(self.number, name);
        }
        self
    }

    /// Sets the status; the message only means something with [`SpanStatus::Error`].
    pub fn status(&self, status: SpanStatus, message: &str) -> &Self {
        if self.number >= 0 {
            ffi::span_status(self.number, status as i32, message);
        }
        self
    }

    /// Ends a child now. The exchange's own span ends with the exchange.
    pub fn end(self) {}
}

impl Drop for Span {
    fn drop(&mut self) {
        if self.number > EXCHANGE_SPAN {
            ffi::span_end(self.number);
        }
    }
}
