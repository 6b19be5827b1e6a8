//! Host functions for the log: fields of the exchange's line, and lines of the plugin's own.
//! Where lines go is not decided here.

use std::borrow::Cow;

use tidegate_abi::{Level, MODULE, imports, limits, status};
use tracing::{debug, error, info, warn};
use wasmtime::{Caller, Linker};

use super::{Result, State, parts, read};
use crate::plugin::config::Capability;
use crate::plugin::definitions::key;
use crate::plugin::drops::{Effect, Why};
use crate::telemetry::access_log::is_reserved_field;
use crate::telemetry::record::{Field, Value};

pub(super) fn link(linker: &mut Linker<State>) -> Result<()> {
    linker.func_wrap(
        MODULE,
        imports::LOG_FIELD_TEXT,
        |mut caller: Caller<'_, State>, key: i32, key_len: i32, value: i32, value_len: i32| {
            let (memory, state) = parts(&mut caller)?;
            let value = text(read(memory, value, value_len)?);
            Ok(field(state, read(memory, key, key_len)?, value.map(Value::Text)))
        },
    )?;
    linker.func_wrap(
        MODULE,
        imports::LOG_FIELD_INT,
        |mut caller: Caller<'_, State>, key: i32, key_len: i32, value: i64| {
            let (memory, state) = parts(&mut caller)?;
            Ok(field(state, read(memory, key, key_len)?, Some(Value::Int(value))))
        },
    )?;
    linker.func_wrap(
        MODULE,
        imports::LOG_FIELD_FLOAT,
        |mut caller: Caller<'_, State>, key: i32, key_len: i32, value: f64| {
            let (memory, state) = parts(&mut caller)?;
            Ok(field(state, read(memory, key, key_len)?, Some(Value::Float(value))))
        },
    )?;
    linker.func_wrap(
        MODULE,
        imports::LOG_FIELD_BOOL,
        |mut caller: Caller<'_, State>, key: i32, key_len: i32, value: i32| {
            let (memory, state) = parts(&mut caller)?;
            Ok(field(state, read(memory, key, key_len)?, Some(Value::Bool(value != 0))))
        },
    )?;
    linker.func_wrap(MODULE, imports::LOG_LINE, |mut caller: Caller<'_, State>, level: i32, ptr: i32, len: i32| {
        let (memory, state) = parts(&mut caller)?;
        let bytes = read(memory, ptr, len)?;
        let Some(level) = Level::from_i32(level) else { return Ok(status::INVALID) };
        Ok(write(state, level, bytes))
    })?;
    Ok(())
}

/// Text as the record keeps it: bytes that are not UTF-8 are replaced. `None` when it is too long.
pub(super) fn text(bytes: &[u8]) -> Option<Box<str>> {
    (bytes.len() <= limits::TEXT).then(|| String::from_utf8_lossy(bytes).into())
}

/// A log line's worth of bytes.
pub(super) fn line(bytes: &[u8]) -> Cow<'_, str> {
    String::from_utf8_lossy(bytes.get(..limits::LOG_LINE).unwrap_or(bytes))
}

/// Sets a field of the exchange's log line; a key that is there gets the new value.
fn field(state: &mut State, name: &[u8], value: Option<Value>) -> i32 {
    if let Err(status) = state.demand(Capability::LogFields, Effect::LogField) {
        return status;
    }
    let Some(value) = value else { return state.refuse(Effect::LogField, Why::Invalid) };
    let Some(name) = state.fields.find(name, free) else {
        let why = if key(name).is_some() { Why::Reserved } else { Why::Invalid };
        return state.refuse(Effect::LogField, why);
    };
    let name = &*name;
    let (budget, plugin) = (state.identity.budget.log_fields, state.identity.id);
    let used = state.kept.usage.fields;
    let record = match state.record() {
        Ok(record) => record,
        Err(status) => return status,
    };
    let others = record.fields.iter().filter(|field| field.plugin == plugin && &*field.key != name);
    if others.map(|field| size(&field.key, &field.value)).sum::<usize>() + size(name, &value) > limits::FIELDS_BYTES {
        return state.refuse(Effect::LogField, Why::Budget);
    }
    match record.fields.iter_mut().find(|field| &*field.key == name) {
        Some(field) => (field.plugin, field.value) = (plugin, value),
        None if used >= budget => return state.refuse(Effect::LogField, Why::Budget),
        None => {
            record.fields.push(Field { plugin, key: name.into(), value });
            state.kept.usage.fields += 1;
        }
    }
    status::OK
}

/// A key that is not the proxy's own.
fn free(name: &[u8]) -> Option<&str> {
    key(name).filter(|name| !is_reserved_field(name))
}

/// What a field counts of the bytes that a plugin may add to a line.
fn size(key: &str, value: &Value) -> usize {
    let value = match value {
        Value::Text(text) => text.len(),
        Value::Int(_) | Value::Float(_) | Value::Bool(_) => size_of::<u64>(),
    };
    key.len() + value
}

/// Writes a line of the plugin's own, with what ties it to the exchange.
pub(super) fn write(state: &mut State, level: Level, bytes: &[u8]) -> i32 {
    if let Err(status) = state.demand(Capability::LogLines, Effect::LogLine) {
        return status;
    }
    if !state.counted.lines.take() {
        return state.refuse(Effect::LogLine, Why::Budget);
    }
    let (plugin, line) = (&*state.identity.name, line(bytes));
    let line = line.trim_end();
    macro_rules! emit {
        ($macro:ident) => {
            match state.record.as_deref() {
                Some(record) => $macro!(
                    target: "tidegate::plugin",
                    plugin,
                    correlation_id = &*record.correlation.id,
                    trace_id = format_args!("{:032x}", record.trace.trace_id),
                    "{line}"
                ),
                None => $macro!(target: "tidegate::plugin", plugin, "{line}"),
            }
        };
    }
    match level {
        Level::Error => emit!(error),
        Level::Warn => emit!(warn),
        Level::Info => emit!(info),
        Level::Debug => emit!(debug),
    }
    status::OK
}
