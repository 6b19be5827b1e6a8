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
            pub(super) fn state_read(buffer: *mut u8, buffer_len: usize) -> i32;
            pub(super) fn state_write(state: *const u8, state_len: usize) -> i32;
            pub(super) safe fn body_mode(body: i32, mode: i32, limit: i64, overflow: i32) -> i32;
            pub(super) fn body_read(offset: usize, buffer: *mut u8, buffer_len: usize) -> i32;
            pub(super) fn body_replace(bytes: *const u8, bytes_len: usize) -> i32;
            pub(super) fn body_append(bytes: *const u8, bytes_len: usize) -> i32;
            pub(super) fn route_set(name: *const u8, name_len: usize) -> i32;
            pub(super) fn upstream_set(name: *const u8, name_len: usize) -> i32;
            pub(super) safe fn timeout_set(milliseconds: i64) -> i32;
            pub(super) fn limit_key_set(name: *const u8, name_len: usize, value: *const u8, value_len: usize) -> i32;
            pub(super) fn store_get(key: *const u8, key_len: usize, buffer: *mut u8, buffer_len: usize) -> i32;
            pub(super) fn store_set(
                key: *const u8,
                key_len: usize,
                value: *const u8,
                value_len: usize,
                ttl: i64,
            ) -> i32;
            pub(super) fn store_swap(
                key: *const u8,
                key_len: usize,
                old: *const u8,
                old_len: usize,
                new: *const u8,
                new_len: usize,
                ttl: i64,
            ) -> i32;
            pub(super) fn store_increment(key: *const u8, key_len: usize, delta: i64, ttl: i64) -> i64;
            pub(super) fn store_remove(key: *const u8, key_len: usize) -> i32;
            pub(super) safe fn sleep(milliseconds: i64) -> i32;
            pub(super) fn call_out(encoded: *const u8, encoded_len: usize) -> i32;
            pub(super) safe fn answer_status(ticket: i32) -> i32;
            pub(super) fn answer_read(ticket: i32, part: i32, buffer: *mut u8, buffer_len: usize) -> i32;
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

    pub(crate) fn state_read(buffer: &mut [u8]) -> i32 {
        unsafe { host::state_read(buffer.as_mut_ptr(), buffer.len()) }
    }

    pub(crate) fn state_write(state: &[u8]) -> i32 {
        unsafe { host::state_write(state.as_ptr(), state.len()) }
    }

    pub(crate) fn body_mode(body: i32, mode: i32, limit: i64, overflow: i32) -> i32 {
        host::body_mode(body, mode, limit, overflow)
    }

    pub(crate) fn body_read(offset: usize, buffer: &mut [u8]) -> i32 {
        unsafe { host::body_read(offset, buffer.as_mut_ptr(), buffer.len()) }
    }

    pub(crate) fn body_replace(bytes: &[u8]) -> i32 {
        unsafe { host::body_replace(bytes.as_ptr(), bytes.len()) }
    }

    pub(crate) fn body_append(bytes: &[u8]) -> i32 {
        unsafe { host::body_append(bytes.as_ptr(), bytes.len()) }
    }

    pub(crate) fn route_set(name: &str) -> i32 {
        unsafe { host::route_set(name.as_ptr(), name.len()) }
    }

    pub(crate) fn upstream_set(name: &str) -> i32 {
        unsafe { host::upstream_set(name.as_ptr(), name.len()) }
    }

    pub(crate) fn timeout_set(milliseconds: i64) -> i32 {
        host::timeout_set(milliseconds)
    }

    pub(crate) fn limit_key_set(name: &str, value: &[u8]) -> i32 {
        unsafe { host::limit_key_set(name.as_ptr(), name.len(), value.as_ptr(), value.len()) }
    }

    pub(crate) fn store_get(key: &[u8], buffer: &mut [u8]) -> i32 {
        unsafe { host::store_get(key.as_ptr(), key.len(), buffer.as_mut_ptr(), buffer.len()) }
    }

    pub(crate) fn store_set(key: &[u8], value: &[u8], ttl: i64) -> i32 {
        unsafe { host::store_set(key.as_ptr(), key.len(), value.as_ptr(), value.len(), ttl) }
    }

    pub(crate) fn store_swap(key: &[u8], old: Option<&[u8]>, new: &[u8], ttl: i64) -> i32 {
        // An absent value has the length -1, and nothing is read of it.
        let (old, old_len) = old.map_or((core::ptr::null(), usize::MAX), |old| (old.as_ptr(), old.len()));
        unsafe { host::store_swap(key.as_ptr(), key.len(), old, old_len, new.as_ptr(), new.len(), ttl) }
    }

    pub(crate) fn store_increment(key: &[u8], delta: i64, ttl: i64) -> i64 {
        unsafe { host::store_increment(key.as_ptr(), key.len(), delta, ttl) }
    }

    pub(crate) fn store_remove(key: &[u8]) -> i32 {
        unsafe { host::store_remove(key.as_ptr(), key.len()) }
    }

    pub(crate) fn sleep(milliseconds: i64) -> i32 {
        host::sleep(milliseconds)
    }

    pub(crate) fn call_out(encoded: &[u8]) -> i32 {
        unsafe { host::call_out(encoded.as_ptr(), encoded.len()) }
    }

    pub(crate) fn answer_status(ticket: i32) -> i32 {
        host::answer_status(ticket)
    }

    pub(crate) fn answer_read(ticket: i32, part: i32, buffer: &mut [u8]) -> i32 {
        unsafe { host::answer_read(ticket, part, buffer.as_mut_ptr(), buffer.len()) }
    }
}
