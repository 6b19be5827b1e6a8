//! Host functions that start something to wait for, and that read what it came to.
//! They carry nothing out: that is for whoever called the hook.

use std::time::Duration;

use bytes::Bytes;
use http::uri::PathAndQuery;
use http::{HeaderMap, Method, Request, Uri};
use tidegate_abi::{MODULE, Reader, answer, headers, imports, limits, status};
use wasmtime::{Caller, Linker};

use super::header::{decode, encode};
use super::{Result, State, give, parts, range, read};
use crate::plugin::config::Capability;
use crate::plugin::contract::{Answer, CallOut, Ticket, Work};
use crate::plugin::drops::{Effect, Why};

/// Timers of one plugin and worker at a time. As many as exchanges may wait; a guest that only ever starts some meets an end.
const SLEEPS: usize = 10_000;
/// Until a call-out is given up, where the plugin does not say.
const TIMEOUT: Duration = Duration::from_secs(5);

pub(super) fn link(linker: &mut Linker<State>) -> Result<()> {
    linker.func_wrap(MODULE, imports::SLEEP, |mut caller: Caller<'_, State>, milliseconds: i64| {
        sleep(caller.data_mut(), milliseconds)
    })?;
    linker.func_wrap(MODULE, imports::CALL_OUT, |mut caller: Caller<'_, State>, ptr: i32, len: i32| {
        let (memory, state) = parts(&mut caller)?;
        Ok(call_out(state, read(memory, ptr, len)?))
    })?;
    linker.func_wrap(MODULE, imports::ANSWER_STATUS, |caller: Caller<'_, State>, ticket: i32| {
        match answered(caller.data(), ticket) {
            Some(Answer::Woke) => status::OK,
            Some(Answer::Response(response)) => response.status().as_u16().into(),
            Some(Answer::Failed(_)) => status::FAILED,
            None => status::ABSENT,
        }
    })?;
    linker.func_wrap(
        MODULE,
        imports::ANSWER_READ,
        |mut caller: Caller<'_, State>, ticket: i32, part: i32, buf: i32, cap: i32| {
            let (memory, state) = parts(&mut caller)?;
            match (part, answered(state, ticket)) {
                (answer::HEADERS, Some(Answer::Response(response))) => {
                    let range = range(memory, buf, cap)?;
                    Ok(encode(response.headers(), memory.get_mut(range).unwrap_or_default()))
                }
                (answer::BODY, Some(Answer::Response(response))) => give(memory, buf, cap, response.body()),
                (answer::ERROR, Some(Answer::Failed(reason))) => give(memory, buf, cap, reason.as_str().as_bytes()),
                (answer::HEADERS | answer::BODY | answer::ERROR, _) => range(memory, buf, cap).map(|_| status::ABSENT),
                _ => Ok(status::INVALID),
            }
        },
    )?;
    Ok(())
}

/// What the hook is resumed with, if that is what the guest asks for.
fn answered(state: &State, ticket: i32) -> Option<&Answer> {
    state.answer.as_ref().filter(|(of, _)| *of == Ticket(ticket.cast_unsigned())).map(|(_, answer)| answer)
}

fn sleep(state: &mut State, milliseconds: i64) -> i32 {
    if !state.may_wait() {
        return status::STAGE;
    }
    let Some(duration) = wait(milliseconds) else { return state.refuse(Effect::Sleep, Why::Invalid) };
    if state.counted.sleeps >= SLEEPS {
        return state.refuse(Effect::Sleep, Why::Budget);
    }
    state.start(Work::Sleep(duration))
}

fn call_out(state: &mut State, bytes: &[u8]) -> i32 {
    if let Err(status) = state.demand(Capability::CallOuts, Effect::CallOut) {
        return status;
    }
    if !state.may_wait() {
        return status::STAGE;
    }
    let Some((upstream, timeout, request)) = read_call_out(bytes) else {
        return state.refuse(Effect::CallOut, Why::Invalid);
    };
    if request.body().len() > limits::CALL_OUT_BODY || state.counted.call_outs >= state.identity.budget.call_outs {
        return state.refuse(Effect::CallOut, Why::Budget);
    }
    let Some(&upstream) = state.directory.upstreams.get(upstream) else {
        state.counted.drops.count(Effect::CallOut, Why::Invalid);
        return status::ABSENT;
    };
    let plugin = state.identity.name.clone();
    state.start(Work::CallOut(Box::new(CallOut { plugin, upstream, request, timeout })))
}

/// The name of the upstream, the time that there is, and what is asked. `None` when something of it is not allowed.
fn read_call_out(bytes: &[u8]) -> Option<(&str, Duration, Request<Bytes>)> {
    let mut reader = Reader::new(bytes);
    let upstream = reader.text().ok()?;
    let method = Method::from_bytes(reader.bytes().ok()?).ok().filter(|method| *method != Method::CONNECT)?;
    let path = reader.bytes().ok().filter(|path| path.first() == Some(&b'/'))?;
    let uri = Uri::from(PathAndQuery::try_from(path).ok()?);
    let timeout = match reader.u32().ok()? {
        0 => TIMEOUT,
        milliseconds => wait(milliseconds.into())?,
    };
    let headers: HeaderMap = decode(headers::REQUEST, reader.bytes().ok()?)?;
    let body = reader.bytes().ok().filter(|_| reader.is_empty())?;
    let body = Bytes::copy_from_slice(body.get(..=limits::CALL_OUT_BODY).unwrap_or(body));
    let mut request = Request::new(body);
    (*request.method_mut(), *request.uri_mut(), *request.headers_mut()) = (method, uri, headers);
    Some((upstream, timeout, request))
}

/// A time that one may wait for.
fn wait(milliseconds: i64) -> Option<Duration> {
    let fits = milliseconds <= limits::WAIT;
    u64::try_from(milliseconds).ok().filter(|_| fits).map(Duration::from_millis)
}
