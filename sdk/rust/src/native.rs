//! Stands in for the host where there is none: each host function goes to the in-memory host of the test that runs.
//! What that host does stands in `test`.

use std::cell::RefCell;
use std::rc::Rc;

use crate::test::memory::Memory;

thread_local! {
    /// The host of the hook that runs on this thread.
    static CURRENT: RefCell<Option<Rc<RefCell<Memory>>>> = const { RefCell::new(None) };
}

/// Runs `hook` with `memory` as its host.
pub(crate) fn within<T>(memory: &Rc<RefCell<Memory>>, hook: impl FnOnce() -> T) -> T {
    /// Puts back what was there, also when the hook panics.
    struct Restore(Option<Rc<RefCell<Memory>>>);
    impl Drop for Restore {
        fn drop(&mut self) {
            let before = self.0.take();
            CURRENT.with_borrow_mut(|current| *current = before);
        }
    }
    let _restore = Restore(CURRENT.replace(Some(memory.clone())));
    hook()
}

/// Outside a hook there is no host: everything is refused, as the real one would.
fn with<T>(outside: T, call: impl FnOnce(&mut Memory) -> T) -> T {
    let memory = CURRENT.try_with(|current| current.borrow().clone()).ok().flatten();
    memory.map_or(outside, |memory| call(&mut memory.borrow_mut()))
}

macro_rules! outside {
    (i32) => {
        tidegate_abi::status::STAGE
    };
    (i64) => {
        tidegate_abi::ABSENT_NUMBER
    };
    () => {
        ()
    };
}

macro_rules! host {
    ($($name:ident($($argument:ident: $type:ty),*) $(-> $result:tt)?;)*) => {
        /// The functions of `ffi`, one by one.
        pub(crate) mod host {
            $(
                pub(crate) fn $name($($argument: $type),*) $(-> $result)? {
                    super::with(outside!($($result)?), |memory| memory.$name($($argument),*))
                }
            )*
        }
    };
}

host! {
    config_read(buffer: &mut [u8]) -> i32;
    refuse(why: &str);
    define_label_set(encoded: &[u8]) -> i32;
    define_metric(encoded: &[u8]) -> i32;
    tick_every(milliseconds: i64) -> i32;
    metric_add(metric: i32, series: i32, value: f64) -> i32;
    metric_set(metric: i32, series: i32, value: f64) -> i32;
    metric_record(metric: i32, series: i32, value: f64) -> i32;
    log_field_text(key: &str, value: &[u8]) -> i32;
    log_field_int(key: &str, value: i64) -> i32;
    log_field_float(key: &str, value: f64) -> i32;
    log_field_bool(key: &str, value: i32) -> i32;
    log_line(level: i32, line: &[u8]) -> i32;
    span_start(parent: i32, name: &str) -> i32;
    span_end(span: i32) -> i32;
    span_attribute_text(span: i32, key: &str, value: &[u8]) -> i32;
    span_attribute_int(span: i32, key: &str, value: i64) -> i32;
    span_attribute_float(span: i32, key: &str, value: f64) -> i32;
    span_attribute_bool(span: i32, key: &str, value: i32) -> i32;
    span_event(span: i32, name: &str) -> i32;
    span_status(span: i32, status: i32, message: &str) -> i32;
    header_read(map: i32, name: &str, index: i32, buffer: &mut [u8]) -> i32;
    headers_read(map: i32, buffer: &mut [u8]) -> i32;
    header_set(map: i32, name: &str, value: &[u8]) -> i32;
    header_add(map: i32, name: &str, value: &[u8]) -> i32;
    header_remove(map: i32, name: &str) -> i32;
    text_read(property: i32, buffer: &mut [u8]) -> i32;
    number_read(property: i32) -> i64;
    correlation_set(id: &str, header: &str) -> i32;
    reply(status: i32, headers: &[u8], body: &[u8]) -> i32;
    state_read(buffer: &mut [u8]) -> i32;
    state_write(state: &[u8]) -> i32;
    body_mode(body: i32, mode: i32, limit: i64, overflow: i32) -> i32;
    body_read(offset: usize, buffer: &mut [u8]) -> i32;
    body_replace(bytes: &[u8]) -> i32;
    body_append(bytes: &[u8]) -> i32;
    route_set(name: &str) -> i32;
    upstream_set(name: &str) -> i32;
    timeout_set(milliseconds: i64) -> i32;
    limit_key_set(name: &str, value: &[u8]) -> i32;
    store_get(key: &[u8], buffer: &mut [u8]) -> i32;
    store_set(key: &[u8], value: &[u8], ttl: i64) -> i32;
    store_swap(key: &[u8], old: Option<&[u8]>, new: &[u8], ttl: i64) -> i32;
    store_increment(key: &[u8], delta: i64, ttl: i64) -> i64;
    store_remove(key: &[u8]) -> i32;
    sleep(milliseconds: i64) -> i32;
    call_out(encoded: &[u8]) -> i32;
    answer_status(ticket: i32) -> i32;
    answer_read(ticket: i32, part: i32, buffer: &mut [u8]) -> i32;
}
