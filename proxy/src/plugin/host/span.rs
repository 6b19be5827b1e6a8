//! Host functions for spans: children of the exchange's span, and attributes, events and status of either.
//! A plugin can only touch its own children; the exchange's span belongs to all.

use std::sync::Arc;
use std::time::Instant;

use tidegate_abi::{EXCHANGE_SPAN, MODULE, SpanStatus, imports, limits, status};
use wasmtime::{Caller, Linker};

use super::log::text;
use super::{Result, State, done, parts, read};
use crate::plugin::config::Capability;
use crate::plugin::definitions::{key, name};
use crate::plugin::drops::{Effect, Why};
use crate::telemetry::record::{ChildSpan, Record, SpanDetail, Value};
use crate::telemetry::trace_context::SpanId;

pub(super) fn link(linker: &mut Linker<State>) -> Result<()> {
    linker.func_wrap(
        MODULE,
        imports::SPAN_START,
        |mut caller: Caller<'_, State>, parent: i32, ptr: i32, len: i32| {
            let (memory, state) = parts(&mut caller)?;
            Ok(start(state, parent, read(memory, ptr, len)?))
        },
    )?;
    linker.func_wrap(MODULE, imports::SPAN_END, |mut caller: Caller<'_, State>, span: i32| {
        done(end(caller.data_mut(), span))
    })?;
    linker.func_wrap(
        MODULE,
        imports::SPAN_ATTRIBUTE_TEXT,
        |mut caller: Caller<'_, State>, span: i32, key: i32, key_len: i32, value: i32, value_len: i32| {
            let (memory, state) = parts(&mut caller)?;
            let value = text(read(memory, value, value_len)?);
            Ok(attribute(state, span, read(memory, key, key_len)?, value.map(Value::Text)))
        },
    )?;
    linker.func_wrap(
        MODULE,
        imports::SPAN_ATTRIBUTE_INT,
        |mut caller: Caller<'_, State>, span: i32, key: i32, key_len: i32, value: i64| {
            let (memory, state) = parts(&mut caller)?;
            Ok(attribute(state, span, read(memory, key, key_len)?, Some(Value::Int(value))))
        },
    )?;
    linker.func_wrap(
        MODULE,
        imports::SPAN_ATTRIBUTE_FLOAT,
        |mut caller: Caller<'_, State>, span: i32, key: i32, key_len: i32, value: f64| {
            let (memory, state) = parts(&mut caller)?;
            Ok(attribute(state, span, read(memory, key, key_len)?, Some(Value::Float(value))))
        },
    )?;
    linker.func_wrap(
        MODULE,
        imports::SPAN_ATTRIBUTE_BOOL,
        |mut caller: Caller<'_, State>, span: i32, key: i32, key_len: i32, value: i32| {
            let (memory, state) = parts(&mut caller)?;
            Ok(attribute(state, span, read(memory, key, key_len)?, Some(Value::Bool(value != 0))))
        },
    )?;
    linker.func_wrap(MODULE, imports::SPAN_EVENT, |mut caller: Caller<'_, State>, span: i32, ptr: i32, len: i32| {
        let (memory, state) = parts(&mut caller)?;
        Ok(event(state, span, read(memory, ptr, len)?))
    })?;
    linker.func_wrap(
        MODULE,
        imports::SPAN_STATUS,
        |mut caller: Caller<'_, State>, span: i32, code: i32, ptr: i32, len: i32| {
            let (memory, state) = parts(&mut caller)?;
            let (code, message) = (SpanStatus::from_i32(code), text(read(memory, ptr, len)?));
            if let Err(status) = state.demand(Capability::Spans, Effect::Span) {
                return Ok(status);
            }
            let (Some(code), Some(message)) = (code, message) else { return Ok(status::INVALID) };
            Ok(done(detail(state, span).map(|detail| detail.status = Some((code, message)))))
        },
    )?;
    Ok(())
}

/// The child span with this number, if the plugin called `owner` started it.
fn child<'a>(record: &'a mut Record, owner: &Arc<str>, span: i32) -> Result<&'a mut ChildSpan, i32> {
    let index = usize::try_from(span).ok().and_then(|span| span.checked_sub(1)).ok_or(status::INVALID)?;
    // The name is one allocation for all instances of a plugin, so the pointer tells plugins apart.
    record.spans.get_mut(index).filter(|child| Arc::ptr_eq(&child.plugin_name, owner)).ok_or(status::INVALID)
}

fn detail(state: &mut State, span: i32) -> Result<&mut SpanDetail, i32> {
    let record = state.record.as_deref_mut().ok_or(status::STAGE)?;
    if span == EXCHANGE_SPAN {
        return Ok(&mut record.span);
    }
    child(record, &state.identity.name, span).map(|child| &mut child.detail)
}

fn start(state: &mut State, parent: i32, span: &[u8]) -> i32 {
    if let Err(status) = state.demand(Capability::Spans, Effect::Span) {
        return status;
    }
    let Some(span) = state.spans.find(span, name) else { return state.refuse(Effect::Span, Why::Invalid) };
    let State { identity, record, kept, counted, .. } = state;
    let Some(record) = record.as_deref_mut() else { return status::STAGE };
    let parent = if parent == EXCHANGE_SPAN {
        None
    } else {
        match child(record, &identity.name, parent) {
            Ok(_) => u16::try_from(parent - 1).ok(),
            Err(status) => return status,
        }
    };
    let number = i32::from(u16::try_from(record.spans.len()).unwrap_or(u16::MAX)) + 1;
    if kept.usage.spans >= identity.budget.spans || number > i32::from(u16::MAX) {
        return state.refuse(Effect::Span, Why::Budget);
    }
    kept.usage.spans += 1;
    record.spans.push(ChildSpan {
        id: SpanId(counted.random.id()),
        parent,
        plugin: identity.id,
        plugin_name: identity.name.clone(),
        name: (*span).into(),
        started: Instant::now(),
        ended: None,
        detail: SpanDetail::default(),
    });
    number
}

fn end(state: &mut State, span: i32) -> Result<(), i32> {
    state.demand(Capability::Spans, Effect::Span)?;
    let record = state.record.as_deref_mut().ok_or(status::STAGE)?;
    child(record, &state.identity.name, span)?.ended.get_or_insert_with(Instant::now);
    Ok(())
}

fn attribute(state: &mut State, span: i32, name: &[u8], value: Option<Value>) -> i32 {
    if let Err(status) = state.demand(Capability::Spans, Effect::Attribute) {
        return status;
    }
    let (Some(name), Some(value)) = (state.attributes.find(name, key), value) else {
        return state.refuse(Effect::Attribute, Why::Invalid);
    };
    let used = state.kept.usage.attributes;
    let detail = match detail(state, span) {
        Ok(detail) => detail,
        Err(status) => return status,
    };
    match detail.attributes.iter_mut().find(|(key, _)| **key == *name) {
        Some((_, old)) => *old = value,
        None if used >= limits::ATTRIBUTES => return state.refuse(Effect::Attribute, Why::Budget),
        None => {
            detail.attributes.push(((*name).into(), value));
            state.kept.usage.attributes += 1;
        }
    }
    status::OK
}

fn event(state: &mut State, span: i32, event: &[u8]) -> i32 {
    if let Err(status) = state.demand(Capability::Spans, Effect::Event) {
        return status;
    }
    let Some(event) = name(event) else { return state.refuse(Effect::Event, Why::Invalid) };
    if state.kept.usage.events >= limits::ATTRIBUTES {
        return state.refuse(Effect::Event, Why::Budget);
    }
    match detail(state, span) {
        Ok(detail) => detail.events.push((Instant::now(), event.into())),
        Err(status) => return status,
    }
    state.kept.usage.events += 1;
    status::OK
}
