//! A plugin as the host calls it: the hooks, the one instance, and the state of each exchange under way.
//! It knows neither the author's types nor which side of the border the host is on.

use std::cell::RefCell;

use tidegate_abi::{Hook, Level, Verdict, status};

use crate::{Bytes, Define, Error, Exchange, Flow, Reply, Result, ffi, log};

/// What the host calls. [`#[plugin]`](macro@crate::plugin) implements it; there is no need to do so by hand.
pub trait Plugin: Sized + 'static {
    /// What is kept for each exchange; `()` when no hook asks for a state.
    type State: Default + 'static;
    /// The hooks that are there.
    const HOOKS: &'static [Hook];

    /// Makes the plugin from its configuration, as JSON.
    ///
    /// # Errors
    /// Why the configuration is refused.
    fn configure(config: &[u8], define: &mut Define) -> Result<Self>;

    /// At the interval that `configure` asked for.
    ///
    /// # Errors
    /// What failed; it is logged.
    fn tick(&mut self) -> Result<()> {
        Ok(())
    }

    /// The request's head is there.
    ///
    /// # Errors
    /// What failed; the plugin's `on_failure` decides.
    fn request_head(&mut self, exchange: &mut Exchange, state: &mut Self::State) -> Result<Flow> {
        let _ = (exchange, state);
        Ok(Flow::Continue)
    }

    /// The response's head is there.
    ///
    /// # Errors
    /// What failed; the plugin's `on_failure` decides.
    fn response_head(&mut self, exchange: &mut Exchange, state: &mut Self::State) -> Result<Flow> {
        let _ = (exchange, state);
        Ok(Flow::Continue)
    }

    /// The exchange is over.
    ///
    /// # Errors
    /// What failed; it is logged.
    fn log(&mut self, exchange: &mut Exchange, state: &mut Self::State) -> Result<()> {
        let _ = (exchange, state);
        Ok(())
    }
}

/// What `request_head` and `response_head` may return.
#[diagnostic::on_unimplemented(
    message = "a head hook cannot return `{Self}`",
    label = "returns `()`, `Flow`, `Reply`, or a `Result` of one of them"
)]
pub trait IntoFlow {
    /// What the hook decided.
    ///
    /// # Errors
    /// Why it failed.
    fn into_flow(self) -> Result<Flow>;
}

/// What `tick` and `log` may return.
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

/// The one instance of a plugin in a module, or in a test.
#[doc(hidden)]
pub struct Instance<P: Plugin>(RefCell<Option<Running<P>>>);

struct Running<P: Plugin> {
    plugin: P,
    /// By slot. Slots are small and used again.
    states: Vec<P::State>,
}

// === impl Instance ===

impl<P: Plugin> Instance<P> {
    pub const fn new() -> Self {
        Self(RefCell::new(None))
    }

    pub fn configure(&self) -> i32 {
        let json = Bytes::read(ffi::config_read).unwrap_or_else(|| Bytes::from(&[][..]));
        match P::configure(&json, &mut Define::new()) {
            Ok(plugin) => {
                self.0.replace(Some(Running { plugin, states: Vec::new() }));
                Verdict::Continue as i32
            }
            Err(error) => fail(&error),
        }
    }

    pub fn tick(&self) -> i32 {
        self.run(Err(not_configured()), |running| running.plugin.tick()).unwrap_or_else(|error| report(&error));
        Verdict::Continue as i32
    }

    pub fn request_head(&self, slot: i32) -> i32 {
        self.head(slot, P::request_head)
    }

    pub fn response_head(&self, slot: i32) -> i32 {
        self.head(slot, P::response_head)
    }

    pub fn log(&self, slot: i32) {
        let done = self.run(Err(not_configured()), |running| {
            let Running { plugin, states } = running;
            plugin.log(&mut Exchange::new(), state(states, slot))
        });
        done.unwrap_or_else(|error| report(&error));
    }

    pub fn release(&self, slot: i32) {
        self.run((), |running| *state(&mut running.states, slot) = P::State::default());
    }

    fn head(&self, slot: i32, hook: impl FnOnce(&mut P, &mut Exchange, &mut P::State) -> Result<Flow>) -> i32 {
        let flow = self.run(Err(not_configured()), |running| {
            let Running { plugin, states } = running;
            hook(plugin, &mut Exchange::new(), state(states, slot))
        });
        match flow {
            Ok(Flow::Continue) => Verdict::Continue as i32,
            Ok(Flow::Reply(reply)) => send(&reply),
            Err(error) => fail(&error),
        }
    }

    fn run<T>(&self, otherwise: T, run: impl FnOnce(&mut Running<P>) -> T) -> T {
        match &mut *self.0.borrow_mut() {
            Some(running) => run(running),
            None => otherwise,
        }
    }
}

impl<P: Plugin> Default for Instance<P> {
    fn default() -> Self {
        Self::new()
    }
}

/// The state of a slot; a new one is there as soon as its slot is.
fn state<S: Default>(states: &mut Vec<S>, slot: i32) -> &mut S {
    let slot = usize::try_from(slot).unwrap_or_default();
    if states.len() <= slot {
        states.resize_with(slot + 1, S::default);
    }
    #[allow(clippy::indexing_slicing, reason = "made long enough just above")]
    &mut states[slot]
}

fn not_configured() -> Error {
    Error::new("a hook was called before the plugin was configured")
}

fn fail(error: &Error) -> i32 {
    ffi::refuse(&error.to_string());
    Verdict::Fail as i32
}

fn report(error: &Error) {
    log::line(Level::Error, format_args!("{error}"));
}

fn send(reply: &Reply) -> i32 {
    match ffi::reply(i32::from(reply.status), &reply.encoded_headers(), &reply.body) {
        status::OK => Verdict::Reply as i32,
        _ => fail(&Error::new(format_args!(
            "a reply with status {} was refused: a status is 200 to 599, and headers that frame a message are the proxy's",
            reply.status
        ))),
    }
}

// === impl IntoFlow, IntoDone ===

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

/// Used by `#[plugin]`, so that an error stands at what a hook returns.
#[doc(hidden)]
pub fn flow(flow: impl IntoFlow) -> Result<Flow> {
    flow.into_flow()
}

/// Used by `#[plugin]`, so that an error stands at what a hook returns.
#[doc(hidden)]
pub fn done(done: impl IntoDone) -> Result<()> {
    done.into_done()
}

/// Used by `#[plugin]`, so that an error stands at what `configure` returns.
#[doc(hidden)]
pub fn configured<P, E: Into<Error>>(configured: Result<P, E>) -> Result<P> {
    configured.map_err(Into::into)
}
