//! The host functions of the ABI: what the guest may ask for. Bytes first, pull only: the guest brings every buffer.
//! A pointer that leads out of the guest's memory traps; everything else that is wrong is a status.

mod body;
mod callout;
mod configure;
mod header;
mod log;
mod metric;
mod property;
mod reply;
mod routing;
mod span;
mod store;
pub(super) mod wasi;

use tidegate_abi::status;
use wasmtime::{Caller, Linker};

use super::state::State;
pub(super) use header::Known;

/// What a host function returns to wasmtime: an error is a trap of the guest.
type Result<T, E = wasmtime::Error> = std::result::Result<T, E>;

/// A pointer and length that do not lie in the guest's memory.
#[derive(Debug, thiserror::Error)]
#[error("bad pointer: {len} bytes at {ptr} do not lie in the memory of {size} bytes")]
struct BadPointer {
    ptr: u32,
    len: u32,
    size: usize,
}

/// Makes every host function known to the linker.
pub(super) fn link(linker: &mut Linker<State>) -> Result<()> {
    configure::link(linker)?;
    metric::link(linker)?;
    log::link(linker)?;
    span::link(linker)?;
    header::link(linker)?;
    property::link(linker)?;
    body::link(linker)?;
    reply::link(linker)?;
    routing::link(linker)?;
    store::link(linker)?;
    callout::link(linker)?;
    wasi::link(linker)
}

/// The guest's memory and what the host keeps for it, both at once.
fn parts<'a>(caller: &'a mut Caller<'_, State>) -> Result<(&'a mut [u8], &'a mut State)> {
    let memory = caller
        .data()
        .memory
        .ok_or_else(|| wasmtime::format_err!("a host function was called by the start function"))?;
    Ok(memory.data_and_store_mut(caller))
}

fn range(memory: &[u8], ptr: i32, len: i32) -> Result<std::ops::Range<usize>> {
    // Addresses are unsigned; the ABI's numbers only look signed.
    let (ptr, len) = (ptr.cast_unsigned(), len.cast_unsigned());
    let (start, size) = (ptr as usize, memory.len());
    match start.checked_add(len as usize) {
        Some(end) if end <= size => Ok(start..end),
        _ => Err(BadPointer { ptr, len, size }.into()),
    }
}

/// The bytes that the guest points at.
fn read(memory: &[u8], ptr: i32, len: i32) -> Result<&[u8]> {
    let range = range(memory, ptr, len)?;
    Ok(memory.get(range).unwrap_or_default())
}

/// Copies as much of `value` as the guest's buffer holds. Returns the whole length.
fn give(memory: &mut [u8], buf: i32, cap: i32, value: &[u8]) -> Result<i32> {
    let range = range(memory, buf, cap)?;
    if let Some(buffer) = memory.get_mut(range) {
        let length = buffer.len().min(value.len());
        if let (Some(buffer), Some(value)) = (buffer.get_mut(..length), value.get(..length)) {
            buffer.copy_from_slice(value);
        }
    }
    Ok(i32::try_from(value.len()).unwrap_or(i32::MAX))
}

/// A status where there is one, else done.
const fn done(result: Result<(), i32>) -> i32 {
    match result {
        Ok(()) => status::OK,
        Err(status) => status,
    }
}
