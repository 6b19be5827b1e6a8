//! The host function that stages an answer; the verdict of the hook decides whether it is sent.
//! Who sends it, and what the proxy adds to it, is not known here.

use bytes::Bytes;
use http::StatusCode;
use tidegate_abi::{MODULE, headers, imports, limits, status};
use wasmtime::{Caller, Linker};

use super::header::decode;
use super::{Result, State, parts, read};
use crate::plugin::config::Capability;
use crate::plugin::contract::LocalReply;
use crate::plugin::drops::{Effect, Why};

pub(super) fn link(linker: &mut Linker<State>) -> Result<()> {
    linker.func_wrap(
        MODULE,
        imports::REPLY,
        |mut caller: Caller<'_, State>, status: i32, headers: i32, headers_len: i32, body: i32, body_len: i32| {
            let (memory, state) = parts(&mut caller)?;
            let (headers, body) = (read(memory, headers, headers_len)?, read(memory, body, body_len)?);
            Ok(stage(state, status, headers, body))
        },
    )?;
    Ok(())
}

fn stage(state: &mut State, code: i32, fields: &[u8], body: &[u8]) -> i32 {
    if let Err(status) = state.demand(Capability::Reply, Effect::Reply) {
        return status;
    }
    if !state.hook.takes_reply(state.holds_head()) {
        return status::STAGE;
    }
    // A 1xx is not an answer, and codes above 599 mean nothing to anyone.
    let code = u16::try_from(code).ok().filter(|code| (200..=599).contains(code));
    let code = code.and_then(|code| StatusCode::from_u16(code).ok());
    let (Some(code), Some(headers)) = (code, decode(headers::RESPONSE, fields)) else {
        return state.refuse(Effect::Reply, Why::Invalid);
    };
    if body.len() > limits::REPLY_BODY {
        return state.refuse(Effect::Reply, Why::Budget);
    }
    state.kept.reply = Some(Box::new(LocalReply { status: code, headers, body: Bytes::copy_from_slice(body) }));
    status::OK
}
