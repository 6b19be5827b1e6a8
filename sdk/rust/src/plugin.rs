//! A plugin as `#[plugin]` writes it, and what its hooks may return.
//! How one runs stands in `instance`.

use tidegate_abi::{Hook, Level, Verdict, status};

use crate::instance::Run;
use crate::{Admission, Bytes, Define, Error, Flow, Refused, Reply, Result, ffi, log};

/// The verdict of a hook that has nothing to say.
#[doc(hidden)]
pub const CONTINUE: i32 = Verdict::Continue as i32;

/// What the host calls. [`#[plugin]`](macro@crate::plugin) implements it; there is no need to do so by hand.
pub trait Plugin: Sized + 'static {
    /// What is kept for each exchange; `()` when no hook asks for a state.
    type State: Default + 'static;
    /// How an instance keeps the plugin: for one hook at a time, or shared by those that wait.
    #[doc(hidden)]
    type Running: Run<Self>;
    /// The hooks that are there.
    const HOOKS: &'static [Hook];

    /// Makes the plugin from its configuration, as JSON.
    ///
    /// # Errors
    /// Why the configuration is refused.
    fn configure(config: &[u8], define: &mut Define) -> Result<Self>;

    /// Calls a hook; returns its verdict.
    #[doc(hidden)]
    fn call(running: &mut Self::Running, hook: Hook, slot: i32) -> i32;
}

/// What the hooks of an exchange may return: `()`, [`Flow`], [`Reply`], or a [`Result`] of one of them.
#[diagnostic::on_unimplemented(
    message = "this hook cannot return `{Self}`",
    label = "returns `()`, `Flow`, `Reply`, or a `Result` of one of them"
)]
pub trait IntoFlow {
    /// What the hook decided.
    ///
    /// # Errors
    /// Why it failed.
    fn into_flow(self) -> Result<Flow>;
}

/// What `tick`, `log`, and the other hooks return that only take note: `()` or `Result<()>`.
#[diagnostic::on_unimplemented(
    message = "this hook cannot return `{Self}`",
    label = "returns `()` or `Result<()>`: there is nothing left to decide"
)]
pub trait IntoDone {
    /// Whether it could do its work.
    ///
    /// # Errors
    /// Why it failed.
    fn into_done(self) -> Result<()>;
}

/// What `connection_open` may return: `()`, [`Admission`], or a [`Result`] of one of them.
#[diagnostic::on_unimplemented(
    message = "`connection_open` cannot return `{Self}`",
    label = "returns `()`, `Admission`, or a `Result` of one of them"
)]
pub trait IntoAdmission {
    /// What the hook decided.
    ///
    /// # Errors
    /// Why it failed; then the plugin's `on_failure` decides.
    fn into_admission(self) -> Result<Admission>;
}

/// What `hand_over` may return: bytes or text, or an [`Option`] or [`Result`] of them.
#[diagnostic::on_unimplemented(
    message = "`hand_over` cannot return `{Self}`",
    label = "returns `Vec<u8>`, `String`, `Bytes` or `&str`, or an `Option` or `Result` of one of them"
)]
pub trait IntoState {
    /// The bytes for the next instance; `None` hands over nothing.
    ///
    /// # Errors
    /// Why it failed; then nothing is handed over.
    fn into_state(self) -> Result<Option<Vec<u8>>>;
}

// === impl IntoFlow ===

impl IntoFlow for () {
    fn into_flow(self) -> Result<Flow> {
        Ok(Flow::Continue)
    }
}

impl IntoFlow for Flow {
    fn into_flow(self) -> Result<Flow> {
        Ok(self)
    }
}

impl IntoFlow for Reply {
    fn into_flow(self) -> Result<Flow> {
        Ok(Flow::Reply(self))
    }
}

impl<T: IntoFlow, E: Into<Error>> IntoFlow for Result<T, E> {
    fn into_flow(self) -> Result<Flow> {
        self.map_err(Into::into).and_then(T::into_flow)
    }
}

// === impl IntoDone ===

impl IntoDone for () {
    fn into_done(self) -> Result<()> {
        Ok(())
    }
}

impl<E: Into<Error>> IntoDone for Result<(), E> {
    fn into_done(self) -> Result<()> {
        self.map_err(Into::into)
    }
}

// === impl IntoAdmission ===

impl IntoAdmission for () {
    fn into_admission(self) -> Result<Admission> {
        Ok(Admission::Accept)
    }
}

impl IntoAdmission for Admission {
    fn into_admission(self) -> Result<Admission> {
        Ok(self)
    }
}

impl<T: IntoAdmission, E: Into<Error>> IntoAdmission for Result<T, E> {
    fn into_admission(self) -> Result<Admission> {
        self.map_err(Into::into).and_then(T::into_admission)
    }
}

// === impl IntoState ===

macro_rules! states {
    ($($bytes:ty => |$value:ident| $into:expr;)*) => {$(
        impl IntoState for $bytes {
            fn into_state(self) -> Result<Option<Vec<u8>>> {
                let $value = self;
                Ok(Some($into))
            }
        }
    )*};
}

states! {
    Vec<u8> => |bytes| bytes;
    String => |text| text.into_bytes();
    &str => |text| text.as_bytes().to_vec();
    Bytes => |bytes| bytes.to_vec();
}

impl<T: IntoState> IntoState for Option<T> {
    fn into_state(self) -> Result<Option<Vec<u8>>> {
        self.map_or(Ok(None), T::into_state)
    }
}

impl<T: IntoState, E: Into<Error>> IntoState for Result<T, E> {
    fn into_state(self) -> Result<Option<Vec<u8>>> {
        self.map_err(Into::into).and_then(T::into_state)
    }
}

// === what `#[plugin]` calls, so that an error of types stands at what a hook returns ===

/// The verdict of a hook of an exchange.
#[doc(hidden)]
#[inline]
pub fn flow(flow: impl IntoFlow) -> i32 {
    match flow.into_flow() {
        Ok(Flow::Continue) => CONTINUE,
        Ok(Flow::Reply(reply)) => send(&reply),
        Err(error) => fail(&error),
    }
}

/// The verdict of a hook that decides nothing.
#[doc(hidden)]
#[inline]
pub fn done(done: impl IntoDone) -> i32 {
    match done.into_done() {
        Ok(()) => CONTINUE,
        Err(error) => fail(&error),
    }
}

/// As [`done`], of a hook that has no verdict: an error becomes a log line.
#[doc(hidden)]
#[inline]
pub fn noted(done: impl IntoDone) -> i32 {
    if let Err(error) = done.into_done() {
        log::line(Level::Error, format_args!("{error}"));
    }
    CONTINUE
}

/// The verdict of `connection_open`.
#[doc(hidden)]
#[inline]
pub fn admission(admission: impl IntoAdmission) -> i32 {
    match admission.into_admission() {
        Ok(Admission::Accept) => CONTINUE,
        Ok(Admission::Close) => Verdict::Close as i32,
        Err(error) => fail(&error),
    }
}

/// The verdict of `hand_over`.
#[doc(hidden)]
pub fn handed(state: impl IntoState) -> i32 {
    let written = state.into_state().and_then(|state| match state {
        None => Ok(()),
        Some(state) => Refused::check(ffi::state_write(&state)).map(drop).map_err(|why| {
            Error::new(format_args!("{} bytes cannot be handed over (1 MiB at most): {why}", state.len()))
        }),
    });
    done(written)
}

/// What `configure` returned.
#[doc(hidden)]
#[allow(clippy::missing_errors_doc)]
pub fn configured<P, E: Into<Error>>(configured: Result<P, E>) -> Result<P> {
    configured.map_err(Into::into)
}

/// Says why, and that it failed.
#[cold]
pub(crate) fn fail(error: &Error) -> i32 {
    ffi::refuse(&error.to_string());
    Verdict::Fail as i32
}

fn send(reply: &Reply) -> i32 {
    match ffi::reply(i32::from(reply.status), &reply.encoded_headers(), &reply.body) {
        status::OK => Verdict::Reply as i32,
        status::STAGE => fail(&Error::new("a reply is not possible in this hook: the head of an answer has gone")),
        status::DENIED => fail(&Error::new("a reply is not allowed to this plugin")),
        _ => fail(&Error::new(format_args!(
            "a reply with status {} was refused: a status is 200 to 599, and headers that frame a message are the proxy's",
            reply.status
        ))),
    }
}
