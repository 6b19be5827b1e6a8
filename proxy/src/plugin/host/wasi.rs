//! As much of WASI preview 1 as a module of `wasm32-wasip1` needs to start: clocks, random numbers, standard output as log lines.
//! No files, no sockets, no arguments, no environment; what is not here traps when it is called.

use std::time::{Instant, SystemTime};

use tidegate_abi::{Level, limits};
use wasmtime::{Caller, Linker};

use super::property::since_epoch;
use super::{Result, State, parts, range, read};

const MODULE: &str = "wasi_snapshot_preview1";
/// `errno` of WASI.
const SUCCESS: i32 = 0;
const BADF: i32 = 8;
const INVAL: i32 = 28;
const IO: i32 = 29;
/// What one `fd_write` may scatter over.
const PIECES: i32 = 64;
/// Random bytes that one call may have: the operating system gives some hundred of them in a microsecond, and no deadline ends that.
const RANDOM: usize = 64 * 1024;

pub(super) fn link(linker: &mut Linker<State>) -> Result<()> {
    let epoch = Instant::now();
    linker.func_wrap(MODULE, "fd_write", fd_write)?;
    linker.func_wrap(
        MODULE,
        "clock_time_get",
        move |mut caller: Caller<'_, State>, clock: i32, _precision: i64, out: i32| -> Result<i32> {
            let time = match clock {
                0 => since_epoch(SystemTime::now()),
                1 => epoch.elapsed(),
                _ => return Ok(INVAL),
            };
            put(&mut caller, out, &u64::try_from(time.as_nanos()).unwrap_or(u64::MAX).to_le_bytes())
        },
    )?;
    linker.func_wrap(MODULE, "clock_res_get", |mut caller: Caller<'_, State>, clock: i32, out: i32| match clock {
        0 | 1 => put(&mut caller, out, &1_u64.to_le_bytes()),
        _ => Ok(INVAL),
    })?;
    linker.func_wrap(MODULE, "random_get", |mut caller: Caller<'_, State>, ptr: i32, len: i32| -> Result<i32> {
        let (memory, state) = parts(&mut caller)?;
        let range = range(memory, ptr, len)?;
        if range.len() > RANDOM {
            return Ok(INVAL);
        }
        Ok(if state.counted.random.fill(memory.get_mut(range).unwrap_or_default()) { SUCCESS } else { IO })
    })?;
    for nothing in ["environ_sizes_get", "args_sizes_get"] {
        linker.func_wrap(MODULE, nothing, |mut caller: Caller<'_, State>, count: i32, size: i32| -> Result<i32> {
            put(&mut caller, count, &[0; 4])?;
            put(&mut caller, size, &[0; 4])
        })?;
    }
    linker.func_wrap(MODULE, "environ_get", |_: i32, _: i32| SUCCESS)?;
    linker.func_wrap(MODULE, "args_get", |_: i32, _: i32| SUCCESS)?;
    linker.func_wrap(MODULE, "sched_yield", || SUCCESS)?;
    linker.func_wrap(MODULE, "proc_exit", |code: i32| -> Result<()> {
        Err(wasmtime::format_err!("the plugin asked its process to exit with code {code}"))
    })?;
    linker.func_wrap(MODULE, "fd_close", |_: i32| BADF)?;
    linker.func_wrap(MODULE, "fd_seek", |_: i32, _: i64, _: i32, _: i32| BADF)?;
    linker.func_wrap(MODULE, "fd_fdstat_get", |_: i32, _: i32| BADF)?;
    linker.func_wrap(MODULE, "fd_prestat_get", |_: i32, _: i32| BADF)?;
    linker.func_wrap(MODULE, "fd_prestat_dir_name", |_: i32, _: i32, _: i32| BADF)?;
    Ok(())
}

fn put(caller: &mut Caller<'_, State>, ptr: i32, bytes: &[u8]) -> Result<i32> {
    let (memory, _) = parts(caller)?;
    let range = range(memory, ptr, i32::try_from(bytes.len()).unwrap_or(i32::MAX))?;
    if let Some(out) = memory.get_mut(range) {
        out.copy_from_slice(bytes);
    }
    Ok(SUCCESS)
}

/// Standard output and error: each write is a log line of its own, cut where a log line ends.
fn fd_write(mut caller: Caller<'_, State>, fd: i32, pieces: i32, count: i32, written: i32) -> Result<i32> {
    let level = match fd {
        1 => Level::Info,
        2 => Level::Error,
        _ => return Ok(BADF),
    };
    if !(0..=PIECES).contains(&count) {
        return Ok(INVAL);
    }
    let (memory, state) = parts(&mut caller)?;
    let (mut line, mut total) = (Vec::new(), 0_u32);
    for piece in read(memory, pieces, count * 8)?.chunks_exact(8) {
        let mut fields = tidegate_abi::Reader::new(piece);
        let (Ok(ptr), Ok(len)) = (fields.u32(), fields.u32()) else { return Ok(INVAL) };
        let bytes = read(memory, ptr.cast_signed(), len.cast_signed())?;
        total = total.saturating_add(len);
        let room = limits::LOG_LINE.saturating_sub(line.len());
        line.extend_from_slice(bytes.get(..room).unwrap_or(bytes));
    }
    // Writes of nothing but a line's end are how some libraries flush.
    if !line.trim_ascii().is_empty() {
        super::log::write(state, level, &line);
    }
    put(&mut caller, written, &total.to_le_bytes())
}
