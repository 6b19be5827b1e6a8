//! Host functions for configuring: the plugin's config, and what it defines.
//! What a definition may look like stands in `definitions`.

use tidegate_abi::{Hook, MODULE, imports, status};
use wasmtime::{Caller, Linker};

use super::{Result, State, give, parts, read};
use crate::plugin::definitions::Definitions;

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
    Ok(())
}

fn define(state: &mut State, definition: impl FnOnce(&mut Definitions) -> i32) -> i32 {
    if state.hook == Hook::Configure { definition(&mut state.definitions) } else { status::STAGE }
}
