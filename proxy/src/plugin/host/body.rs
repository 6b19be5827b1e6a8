//! Host functions for bodies: how a hook wants them, and reading and changing the piece at hand.
//! Who holds a body back, and where its pieces come from, is not known here.

use bytes::{Bytes, BytesMut};
use tidegate_abi::{Body, Hook, MODULE, Mode, Overflow, imports, limits, status};
use wasmtime::{Caller, Linker};

use super::{Result, State, give, parts, range, read};
use crate::plugin::config::Capability;
use crate::plugin::contract::{BodyWish, Matter, Piece};
use crate::plugin::drops::{Effect, Why};

pub(super) fn link(linker: &mut Linker<State>) -> Result<()> {
    linker.func_wrap(
        MODULE,
        imports::BODY_MODE,
        |mut caller: Caller<'_, State>, body: i32, mode: i32, limit: i64, overflow: i32| {
            wish(caller.data_mut(), body, mode, limit, overflow)
        },
    )?;
    linker.func_wrap(
        MODULE,
        imports::BODY_READ,
        |mut caller: Caller<'_, State>, offset: i32, buf: i32, cap: i32| {
            let (memory, state) = parts(&mut caller)?;
            if let Err(status) = state.demand(Capability::ReadBodies, Effect::Body) {
                return range(memory, buf, cap).map(|_| status);
            }
            let Some(piece) = piece(state) else { return range(memory, buf, cap).map(|_| status::STAGE) };
            let offset = offset.cast_unsigned() as usize;
            give(memory, buf, cap, piece.bytes.get(offset..).unwrap_or_default())
        },
    )?;
    linker.func_wrap(MODULE, imports::BODY_REPLACE, |mut caller: Caller<'_, State>, ptr: i32, len: i32| {
        let (memory, state) = parts(&mut caller)?;
        let bytes = read(memory, ptr, len)?;
        Ok(change(state, |piece| piece.bytes = Bytes::copy_from_slice(bytes)))
    })?;
    linker.func_wrap(MODULE, imports::BODY_APPEND, |mut caller: Caller<'_, State>, ptr: i32, len: i32| {
        let (memory, state) = parts(&mut caller)?;
        let bytes = read(memory, ptr, len)?;
        let is_too_long = |piece: &mut Piece| piece.bytes.len() + bytes.len() > LARGEST;
        if state.allowed(Capability::ChangeBodies) && piece(state).is_some_and(is_too_long) {
            return Ok(state.refuse(Effect::Body, Why::Budget));
        }
        Ok(change(state, |piece| append(piece, bytes)))
    })?;
    Ok(())
}

/// Bytes of a piece that was added to. Only against a guest that never stops adding.
const LARGEST: usize = 64 * 1024 * 1024;

fn wish(state: &mut State, body: i32, mode: i32, limit: i64, overflow: i32) -> i32 {
    let (Some(body), Some(mode), Some(overflow)) =
        (Body::from_i32(body), Mode::from_i32(mode), Overflow::from_i32(overflow))
    else {
        return state.refuse(Effect::Body, Why::Invalid);
    };
    if mode == Mode::Rewrite
        && let Err(status) = state.demand(Capability::ChangeBodies, Effect::Body)
    {
        return status;
    }
    // Where nothing is held back there is nothing to limit.
    let limit = match usize::try_from(limit) {
        _ if !mode.holds_head() => 0,
        Ok(bytes) if (1..=limits::BODY).contains(&limit) => bytes,
        _ => return state.refuse(Effect::Body, Why::Invalid),
    };
    let wish = BodyWish { mode, limit, overflow };
    match (state.hook, body) {
        (Hook::Configure, _) => state.definitions.set_body(body, wish),
        (Hook::RequestHead, _) | (Hook::ResponseHead, Body::Response) => state.kept.set_wish(body, wish),
        _ => return status::STAGE,
    }
    status::OK
}

/// The piece that the hook is about.
fn piece(state: &mut State) -> Option<&mut Piece> {
    match &mut state.matter {
        Matter::Piece(piece) => Some(piece),
        _ => None,
    }
}

fn change(state: &mut State, apply: impl FnOnce(&mut Piece)) -> i32 {
    if let Err(status) = state.demand(Capability::ChangeBodies, Effect::Body) {
        return status;
    }
    match piece(state) {
        Some(piece) if piece.may_change => {
            apply(piece);
            piece.changed = true;
            status::OK
        }
        _ => status::STAGE,
    }
}

fn append(piece: &mut Piece, bytes: &[u8]) {
    // What nobody else looks at grows where it is.
    let mut all = std::mem::take(&mut piece.bytes).try_into_mut().unwrap_or_else(|shared| BytesMut::from(&*shared));
    all.extend_from_slice(bytes);
    piece.bytes = all.freeze();
}
