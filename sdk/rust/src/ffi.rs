//! The border: every host function, safe to call, and nothing else. In a module they are imports; elsewhere `native` plays the host.
//! It knows nothing of what the calls mean.
//!
//! This is the one file of the SDK with `unsafe`, and why: a host function is foreign code, and takes buffers as a pointer and a
//! length. Each pointer comes from a slice that lives through the call; the host reads or writes only within it, synchronously,
//! keeps no pointer, and never calls back into the guest (docs/abi.md).

#[cfg(not(target_family = "wasm"))]
pub(crate) use crate::native::host::*;

#[cfg(target_family = "wasm")]
pub(crate) use guest::*;

#[cfg(target_family = "wasm")]
#[allow(unsafe_code, reason = "the border to the host; see the head of this file")]
mod guest {
    // SAFETY, for every call below: pointer and length are of one slice that lives through the call.

    mod host {
        // The names are those of `tidegate_abi::imports`, the module is `tidegate_abi::MODULE`.
        #[link(wasm_import_module = "tidegate_v1")]
        unsafe extern "C" {
            pub(super) fn config_read(buffer: *mut u8, buffer_len: usize) -> i32;
            pub(super) fn refuse(why: *const u8, why_len: usize);
            pub(super) fn define_label_set(encoded: *const u8, encoded_len: usize) -> i32;
            pub(super) fn define_metric(encoded: *const u8, encoded_len: usize) -> i32;
            pub(super) safe fn tick_every(milliseconds: i64) -> i32;
            pub(super) safe fn metric_add(metric: i32, series: i32, value: f64) -> i32;
            pub(super) safe fn metric_set(metric: i32, series: i32, value: f64) -> i32;
            pub(super) safe fn metric_record(metric: i32, series: i32, value: f64) -> i32;
            pub(super) fn log_field_text(key: *const u8, key_len: usize, value: *const u8, value_len: usize) -> i32;
            pub(super) fn log_field_int(key: *const u8, key_len: usize, value: i64) -> i32;
            pub(super) fn log_field_float(key: *const u8, key_len: usize, value: f64) -> i32;
            pub(super) fn log_field_bool(key: *const u8, key_len: usize, value: i32) -> i32;
            pub(super) fn log_line(level: i32, line: *const u8, line_len: usize) -> i32;
            pub(super) fn span_start(parent: i32, name: *const u8, name_len: usize) -> i32;
            pub(super) safe fn span_end(span: i32) -> i32;
            pub(super) fn span_attribute_text(
                span: i32,
                key: *const u8,
                key_len: usize,
                value: *const u8,
                value_len: usize,
            ) -> i32;
            pub(super) fn span_attribute_int(span: i32, key: *const u8, key_len: usize, value: i64) -> i32;
            pub(super) fn span_attribute_float(span: i32, key: *const u8, key_len: usize, value: f64) -> i32;
            pub(super) fn span_attribute_bool(span: i32, key: *const u8, key_len: usize, value: i32) -> i32;
            pub(super) fn span_event(span: i32, name: *const u8, name_len: usize) -> i32;
            pub(super) fn span_status(span: i32, status: i32, message: *const u8, message_len: usize) -> i32;
            pub(super) fn header_read(
                map: i32,
                name: *const u8,
                name_len: usize,
                index: i32,
                buffer: *mut u8,
                buffer_len: usize,
            ) -> i32;
            pub(super) fn headers_read(map: i32, buffer: *mut u8, buffer_len: usize) -> i32;
            pub(super) fn header_set(
                map: i32,
                name: *const u8,
                name_len: usize,
                value: *const u8,
                value_len: usize,
            ) -> i32;
            pub(super) fn header_add(
                map: i32,
                name: *const u8,
                name_len: usize,
                value: *const u8,
                value_len: usize,
            ) -> i32;
            pub(super) fn header_remove(map: i32, name: *const u8, name_len: usize) -> i32;
            pub(super) fn text_read(property: i32, buffer: *mut u8, buffer_len: usize) -> i32;
            pub(super) safe fn number_read(property: i32) -> i64;
            pub(super) fn correlation_set(id: *const u8, id_len: usize, header: *const u8, header_len: usize) -> i32;
            pub(super) fn reply(
                status: i32,
                headers: *const u8,
                headers_len: usize,
                body: *const u8,
                body_len: usize,
            ) -> i32;
        }
    }

    pub(crate) fn config_read(buffer: &mut [u8]) -> i32 {
        unsafe { host::config_read(buffer.as_mut_ptr(), buffer.len()) }
    }

    pub(crate) fn refuse(why: &str) {
        unsafe { host::refuse(why.as_ptr(), why.len()) }
    }

    pub(crate) fn define_label_set(encoded: &[u8]) -> i32 {
        unsafe { host::define_label_set(encoded.as_ptr(), encoded.len()) }
    }

    pub(crate) fn define_metric(encoded: &[u8]) -> i32 {
        unsafe { host::define_metric(encoded.as_ptr(), encoded.len()) }
    }

    pub(crate) fn tick_every(milliseconds: i64) -> i32 {
        host::tick_every(milliseconds)
    }

    pub(crate) fn metric_add(metric: i32, series: i32, value: f64) -> i32 {
        host::metric_add(metric, series, value)
    }

    pub(crate) fn metric_set(metric: i32, series: i32, value: f64) -> i32 {
        host::metric_set(metric, series, value)
    }

    pub(crate) fn metric_record(metric: i32, series: i32, value: f64) -> i32 {
        host::metric_record(metric, series, value)
    }

    pub(crate) fn log_field_text(key: &str, value: &[u8]) -> i32 {
        unsafe { host::log_field_text(key.as_ptr(), key.len(), value.as_ptr(), value.len()) }
    }

    pub(crate) fn log_field_int(key: &str, value: i64) -> i32 {
        unsafe { host::log_field_int(key.as_ptr(), key.len(), value) }
    }

    pub(crate) fn log_field_float(key: &str, value: f64) -> i32 {
        unsafe { host::log_field_float(key.as_ptr(), key.len(), value) }
    }

    pub(crate) fn log_field_bool(key: &str, value: i32) -> i32 {
        unsafe { host::log_field_bool(key.as_ptr(), key.len(), value) }
    }

    pub(crate) fn log_line(level: i32, line: &[u8]) -> i32 {
        unsafe { host::log_line(level, line.as_ptr(), line.len()) }
    }

    pub(crate) fn span_start(parent: i32, name: &str) -> i32 {
        unsafe { host::span_start(parent, name.as_ptr(), name.len()) }
    }

    pub(crate) fn span_end(span: i32) -> i32 {
        host::span_end(span)
    }

    pub(crate) fn span_attribute_text(span: i32, key: &str, value: &[u8]) -> i32 {
        unsafe { host::span_attribute_text(span, key.as_ptr(), key.len(), value.as_ptr(), value.len()) }
    }

    pub(crate) fn span_attribute_int(span: i32, key: &str, value: i64) -> i32 {
        unsafe { host::span_attribute_int(span, key.as_ptr(), key.len(), value) }
    }

    pub(crate) fn span_attribute_float(span: i32, key: &str, value: f64) -> i32 {
        unsafe { host::span_attribute_float(span, key.as_ptr(), key.len(), value) }
    }

    pub(crate) fn span_attribute_bool(span: i32, key: &str, value: i32) -> i32 {
        unsafe { host::span_attribute_bool(span, key.as_ptr(), key.len(), value) }
    }

    pub(crate) fn span_event(span: i32, name: &str) -> i32 {
        unsafe { host::span_event(span, name.as_ptr(), name.len()) }
    }

    pub(crate) fn span_status(span: i32, status: i32, message: &str) -> i32 {
        unsafe { host::span_status(span, status, message.as_ptr(), message.len()) }
    }

    pub(crate) fn header_read(map: i32, name: &str, index: i32, buffer: &mut [u8]) -> i32 {
        unsafe { host::header_read(map, name.as_ptr(), name.len(), index, buffer.as_mut_ptr(), buffer.len()) }
    }

    pub(crate) fn headers_read(map: i32, buffer: &mut [u8]) -> i32 {
        unsafe { host::headers_read(map, buffer.as_mut_ptr(), buffer.len()) }
    }

    pub(crate) fn header_set(map: i32, name: &str, value: &[u8]) -> i32 {
        unsafe { host::header_set(map, name.as_ptr(), name.len(), value.as_ptr(), value.len()) }
    }

    pub(crate) fn header_add(map: i32, name: &str, value: &[u8]) -> i32 {
        unsafe { host::header_add(map, name.as_ptr(), name.len(), value.as_ptr(), value.len()) }
    }

    pub(crate) fn header_remove(map: i32, name: &str) -> i32 {
        unsafe { host::header_remove(map, name.as_ptr(), name.len()) }
    }

    pub(crate) fn text_read(property: i32, buffer: &mut [u8]) -> i32 {
        unsafe { host::text_read(property, buffer.as_mut_ptr(), buffer.len()) }
    }

    pub(crate) fn number_read(property: i32) -> i64 {
        host::number_read(property)
    }

    pub(crate) fn correlation_set(id: &str, header: &str) -> i32 {
        unsafe { host::correlation_set(id.as_ptr(), id.len(), header.as_ptr(), header.len()) }
    }

    pub(crate) fn reply(status: i32, headers: &[u8], body: &[u8]) -> i32 {
        unsafe { host::reply(status, headers.as_ptr(), headers.len(), body.as_ptr(), body.len()) }
    }
}
