//! Host functions by which a plugin changes where its exchange goes, for how long, and what limits count by.
//! They only note it; the walk carries it out when the hook is over.

use std::time::Duration;

use bytes::Bytes;
use tidegate_abi::{Hook, MODULE, imports, limits, status};
use wasmtime::{Caller, Linker};

use super::{Result, State, done, parts, read};
use crate::plugin::config::Capability;
use crate::plugin::drops::{Effect, Why};

/// Keys of limits that a plugin may set for one exchange.
const LIMIT_KEYS: usize = 16;

pub(super) fn link(linker: &mut Linker<State>) -> Result<()> {
    linker.func_wrap(MODULE, imports::ROUTE_SET, |mut caller: Caller<'_, State>, name: i32, name_len: i32| {
        let (memory, state) = parts(&mut caller)?;
        Ok(done(route(state, read(memory, name, name_len)?)))
    })?;
    linker.func_wrap(MODULE, imports::UPSTREAM_SET, |mut caller: Caller<'_, State>, name: i32, name_len: i32| {
        let (memory, state) = parts(&mut caller)?;
        Ok(done(upstream(state, read(memory, name, name_len)?)))
    })?;
    linker.func_wrap(MODULE, imports::TIMEOUT_SET, |mut caller: Caller<'_, State>, milliseconds: i64| {
        done(timeout(caller.data_mut(), milliseconds))
    })?;
    linker.func_wrap(
        MODULE,
        imports::LIMIT_KEY_SET,
        |mut caller: Caller<'_, State>, name: i32, name_len: i32, value: i32, value_len: i32| {
            let (memory, state) = parts(&mut caller)?;
            let (name, value) = (read(memory, name, name_len)?, read(memory, value, value_len)?);
            Ok(done(limit_key(state, name, value)))
        },
    )?;
    Ok(())
}

fn route(state: &mut State, name: &[u8]) -> Result<(), i32> {
    may(state, Effect::Route, |state| state.hook == Hook::RequestHead)?;
    let route = text(name).and_then(|name| state.directory.routes.get(name).copied());
    state.orders().route = Some(route.ok_or_else(|| unknown(state, Effect::Route))?);
    Ok(())
}

fn upstream(state: &mut State, name: &[u8]) -> Result<(), i32> {
    may(state, Effect::Upstream, is_unsent)?;
    let upstream = text(name).and_then(|name| state.directory.upstreams.get(name).copied());
    state.orders().upstream = Some(upstream.ok_or_else(|| unknown(state, Effect::Upstream))?);
    Ok(())
}

fn timeout(state: &mut State, milliseconds: i64) -> Result<(), i32> {
    /// Nine years: far beyond what anybody waits for, and within what every clock can tell.
    const LONGEST: u64 = 1 << 48;
    may(state, Effect::Timeout, is_unsent)?;
    let milliseconds = u64::try_from(milliseconds).ok().filter(|milliseconds| *milliseconds <= LONGEST);
    let milliseconds = milliseconds.ok_or_else(|| state.refuse(Effect::Timeout, Why::Invalid))?;
    state.orders().timeout = Some((milliseconds > 0).then(|| Duration::from_millis(milliseconds)));
    Ok(())
}

fn limit_key(state: &mut State, name: &[u8], value: &[u8]) -> Result<(), i32> {
    may(state, Effect::LimitKey, |state| state.hook == Hook::RequestHead)?;
    let name = text(name).filter(|name| is_key_name(name) && value.len() <= limits::LIMIT_KEY);
    let name = name.ok_or_else(|| state.refuse(Effect::LimitKey, Why::Invalid))?;
    let keys = &mut state.orders().limit_keys;
    let (value, used) = (Bytes::copy_from_slice(value), keys.len());
    match keys.iter_mut().find(|(set, _)| **set == *name) {
        Some((_, old)) => *old = value,
        None if used >= LIMIT_KEYS => return Err(state.refuse(Effect::LimitKey, Why::Budget)),
        None => keys.push((name.into(), value)),
    }
    Ok(())
}

/// A name that there can be: what is longer is not looked at, since nothing interrupts that.
fn text(name: &[u8]) -> Option<&str> {
    const LONGEST: usize = 4096;
    Some(name).filter(|name| name.len() <= LONGEST).and_then(|name| std::str::from_utf8(name).ok())
}

/// The configuration has nothing of this name.
fn unknown(state: &mut State, effect: Effect) -> i32 {
    state.counted.drops.count(effect, Why::Invalid);
    status::ABSENT
}

/// Whether the plugin may do this, and may do it in this hook.
fn may(state: &mut State, effect: Effect, at: impl FnOnce(&State) -> bool) -> Result<(), i32> {
    state.demand(Capability::Routing, effect)?;
    if at(state) { Ok(()) } else { Err(status::STAGE) }
}

/// Whether nothing of the request was sent upstream yet.
fn is_unsent(state: &State) -> bool {
    match state.hook {
        Hook::RequestHead => true,
        Hook::RequestBody => state.holds_head(),
        Hook::Configure
        | Hook::HandOver
        | Hook::Tick
        | Hook::ConnectionOpen
        | Hook::RequestTrailers
        | Hook::UpstreamChosen
        | Hook::UpstreamError
        | Hook::Retry
        | Hook::ResponseHead
        | Hook::ResponseBody
        | Hook::ResponseTrailers
        | Hook::Log
        | Hook::ConnectionClose
        | Hook::LimitDecision
        | Hook::BreakerTransition => false,
    }
}

/// As the configuration has it in `key: plugin.NAME`.
fn is_key_name(name: &str) -> bool {
    let allowed = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || matches!(byte, b'-' | b'_' | b'.');
    (1..=64).contains(&name.len()) && name.bytes().all(allowed)
}
