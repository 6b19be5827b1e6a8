//! Host functions for configuring: the plugin's config, what it defines, and what one generation hands over to the next.
//! What a definition may look like stands in `definitions`.

use bytes::Bytes;
use tidegate_abi::{Hook, MODULE, imports, limits, status};
use wasmtime::{Caller, Linker};

use super::{Result, State, give, parts, range, read};
use crate::plugin::definitions::Definitions;
use crate::plugin::drops::{Effect, Why};

pub(super) fn link(linker: &mut Linker<State>) -> Result<()> {
    linker.func_wrap(MODULE, imports::CONFIG_READ, |mut caller: Caller<'_, State>, buf: i32, cap: i32| {
        let (memory, state) = parts(&mut caller)?;
        give(memory, buf, cap, &state.identity.config)
    })?;
    linker.func_wrap(MODULE, imports::REFUSE, |mut caller: Caller<'_, State>, ptr: i32, len: i32| -> Result<()> {
        let (memory, state) = parts(&mut caller)?;
        state.refusal = Some(super::log::line(read(memory, ptr, len)?).into());
        Ok(())
    })?;
    linker.func_wrap(MODULE, imports::DEFINE_LABEL_SET, |mut caller: Caller<'_, State>, ptr: i32, len: i32| {
        let (memory, state) = parts(&mut caller)?;
        let bytes = read(memory, ptr, len)?;
        Ok(define(state, |definitions| definitions.label_set(bytes)))
    })?;
    linker.func_wrap(MODULE, imports::DEFINE_METRIC, |mut caller: Caller<'_, State>, ptr: i32, len: i32| {
        let (memory, state) = parts(&mut caller)?;
        let bytes = read(memory, ptr, len)?;
        Ok(define(state, |definitions| definitions.metric(bytes)))
    })?;
    linker.func_wrap(MODULE, imports::TICK_EVERY, |mut caller: Caller<'_, State>, milliseconds: i64| {
        define(caller.data_mut(), |definitions| definitions.tick_every(milliseconds))
    })?;
    linker.func_wrap(MODULE, imports::STATE_READ, |mut caller: Caller<'_, State>, buf: i32, cap: i32| {
        let (memory, state) = parts(&mut caller)?;
        match &state.handed {
            _ if state.hook != Hook::Configure => range(memory, buf, cap).map(|_| status::STAGE),
            Some(handed) => give(memory, buf, cap, handed),
            None => range(memory, buf, cap).map(|_| status::ABSENT),
        }
    })?;
    linker.func_wrap(MODULE, imports::STATE_WRITE, |mut caller: Caller<'_, State>, ptr: i32, len: i32| {
        let (memory, state) = parts(&mut caller)?;
        Ok(hand_over(state, read(memory, ptr, len)?))
    })?;
    Ok(())
}

fn hand_over(state: &mut State, bytes: &[u8]) -> i32 {
    if state.hook != Hook::HandOver {
        return status::STAGE;
    }
    if bytes.len() > limits::HANDED_STATE {
        return state.refuse(Effect::State, Why::Budget);
    }
    state.handing = Some(Bytes::copy_from_slice(bytes));
    status::OK
}

fn define(state: &mut State, definition: impl FnOnce(&mut Definitions) -> i32) -> i32 {
    if state.hook == Hook::Configure { definition(&mut state.definitions) } else { status::STAGE }
}
