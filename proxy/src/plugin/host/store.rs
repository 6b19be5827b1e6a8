//! Host functions of the key-value store. What is in it, and for how long, stands in `store`.
//! Not in `configure`: a plugin that is only tried out must leave no trace in the store of the one that runs.

use std::time::{Duration, Instant};

use tidegate_abi::{ABSENT_NUMBER, Hook, MODULE, imports, limits, status};
use wasmtime::{Caller, Linker};

use super::{Result, State, done, give, parts, range, read};
use crate::plugin::config::Capability;
use crate::plugin::drops::{Effect, Why};
use crate::plugin::store::{Store, Unchanged};

pub(super) fn link(linker: &mut Linker<State>) -> Result<()> {
    linker.func_wrap(
        MODULE,
        imports::STORE_GET,
        |mut caller: Caller<'_, State>, key: i32, key_len: i32, buf: i32, cap: i32| {
            let (memory, state) = parts(&mut caller)?;
            let key = read(memory, key, key_len)?;
            // Also where nothing is written to it.
            range(memory, buf, cap)?;
            match with(state, key, &[], |store, now| Ok(store.get(key, now))) {
                Ok(Some(value)) => give(memory, buf, cap, &value),
                Ok(None) => Ok(status::ABSENT),
                Err(status) => Ok(status),
            }
        },
    )?;
    linker.func_wrap(
        MODULE,
        imports::STORE_SET,
        |mut caller: Caller<'_, State>, key: i32, key_len: i32, value: i32, value_len: i32, ttl: i64| {
            let (memory, state) = parts(&mut caller)?;
            let (key, value) = (read(memory, key, key_len)?, read(memory, value, value_len)?);
            Ok(done(
                lasting(state, ttl)
                    .and_then(|ttl| with(state, key, value, |store, now| store.set(key, value, ttl, now))),
            ))
        },
    )?;
    linker.func_wrap(
        MODULE,
        imports::STORE_SWAP,
        |mut caller: Caller<'_, State>,
         key: i32,
         key_len: i32,
         old: i32,
         old_len: i32,
         new: i32,
         new_len: i32,
         ttl: i64| {
            let (memory, state) = parts(&mut caller)?;
            let (key, new) = (read(memory, key, key_len)?, read(memory, new, new_len)?);
            let old = if old_len == ABSENT { None } else { Some(read(memory, old, old_len)?) };
            Ok(done(
                lasting(state, ttl)
                    .and_then(|ttl| with(state, key, new, |store, now| store.swap(key, old, new, ttl, now))),
            ))
        },
    )?;
    linker.func_wrap(
        MODULE,
        imports::STORE_INCREMENT,
        |mut caller: Caller<'_, State>, key: i32, key_len: i32, delta: i64, ttl: i64| -> Result<i64> {
            let (memory, state) = parts(&mut caller)?;
            let key = read(memory, key, key_len)?;
            let sum = lasting(state, ttl)
                .and_then(|ttl| with(state, key, &[], |store, now| store.increment(key, delta, ttl, now)));
            Ok(sum.unwrap_or(ABSENT_NUMBER))
        },
    )?;
    linker.func_wrap(MODULE, imports::STORE_REMOVE, |mut caller: Caller<'_, State>, key: i32, key_len: i32| {
        let (memory, state) = parts(&mut caller)?;
        let key = read(memory, key, key_len)?;
        Ok(match with(state, key, &[], |store, now| Ok(store.remove(key, now))) {
            Ok(true) => status::OK,
            Ok(false) => status::ABSENT,
            Err(status) => status,
        })
    })?;
    Ok(())
}

/// The length of an `old` that says that there must be no value.
const ABSENT: i32 = -1;

/// How long a value lasts; `None` for ever.
fn lasting(state: &mut State, ttl: i64) -> Result<Option<Duration>, i32> {
    state.demand(Capability::KeyValue, Effect::Store)?;
    match u64::try_from(ttl) {
        Ok(0) => Ok(None),
        Ok(ttl) => Ok(Some(Duration::from_millis(ttl))),
        Err(_) => Err(state.refuse(Effect::Store, Why::Invalid)),
    }
}

/// Uses the store, if the plugin may, and if key and value have a length that it takes.
fn with<T>(
    state: &mut State,
    key: &[u8],
    value: &[u8],
    act: impl FnOnce(&Store, Instant) -> Result<T, Unchanged>,
) -> Result<T, i32> {
    state.demand(Capability::KeyValue, Effect::Store)?;
    let Some(store) = state.counted.store.clone().filter(|_| state.hook != Hook::Configure) else {
        return Err(status::STAGE);
    };
    if !(1..=limits::STORE_KEY).contains(&key.len()) || value.len() > limits::STORE_VALUE {
        return Err(state.refuse(Effect::Store, Why::Invalid));
    }
    act(&store, Instant::now()).map_err(|unchanged| match unchanged {
        Unchanged::Full => state.refuse(Effect::Store, Why::Budget),
        Unchanged::NoNumber => state.refuse(Effect::Store, Why::Invalid),
        // The answer to a question, and nothing that was lost.
        Unchanged::Conflict => status::CONFLICT,
    })
}
