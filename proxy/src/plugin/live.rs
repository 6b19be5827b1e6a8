//! One running instance of a module: its start, its calls, and what a failed call was.
//! It knows no budget but time, and does not decide what a fault costs.

use std::time::Duration;

use tidegate_abi::{EXPORT_VERSION, Hook, Signature, VERSION, Verdict};
use wasmtime::{Extern, Instance, ModuleExport, Store, Trap, TypedFunc, WasmBacktrace};

use super::contract::Fault;
use super::engine::Engine;
use super::error::LoadError;
use super::module::{EXPORT_INITIALIZE, EXPORT_MEMORY, Program};
use super::state::State;

/// A running instance.
pub(super) struct Live {
    pub store: Store<State>,
    /// By hook, those that decide something.
    deciding: [Option<TypedFunc<i32, i32>>; Hook::ALL.len()],
    log: Option<TypedFunc<i32, ()>>,
    hand_over: Option<TypedFunc<(), i32>>,
    resume: Option<TypedFunc<(i32, i32), i32>>,
    release: Option<TypedFunc<i32, ()>>,
}

/// Why an instance did not come to run.
#[derive(Debug)]
pub(super) enum StartFault {
    Instantiate(Fault),
    Version(i32),
    Configure(Fault),
}

/// What is called.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Entry {
    Hook(Hook),
    Resume(i32),
    Release,
}

// === impl Live ===

impl Live {
    /// Instantiates the module, lets it initialise and configure itself. All of it must be done within `deadline`.
    ///
    /// # Errors
    /// What went wrong, and the state for the next try.
    pub fn start(
        engine: &Engine,
        program: &Program,
        state: State,
        deadline: Duration,
    ) -> Result<Self, (Box<State>, StartFault)> {
        let mut store = Store::new(engine.wasm(), state);
        store.limiter(|state| &mut state.limits);
        engine.wake();
        store.set_epoch_deadline(engine.ticks(deadline));
        match Self::run_start(&mut store, program, deadline) {
            Ok(instance) => Ok(Self::resolve(store, &instance, program)),
            Err(fault) => Err((Box::new(store.into_data()), fault)),
        }
    }

    fn run_start(store: &mut Store<State>, program: &Program, deadline: Duration) -> Result<Instance, StartFault> {
        let instance = program.pre.instantiate(&mut *store);
        let instance = instance.map_err(|error| StartFault::Instantiate(fault(&error, deadline)))?;
        store.data_mut().memory = instance.get_memory(&mut *store, EXPORT_MEMORY);
        if let Ok(initialize) = instance.get_typed_func::<(), ()>(&mut *store, EXPORT_INITIALIZE) {
            let done = initialize.call(&mut *store, ());
            done.map_err(|error| StartFault::Instantiate(fault(&error, deadline)))?;
        }
        let version = instance.get_typed_func::<(), i32>(&mut *store, EXPORT_VERSION);
        let version = version.and_then(|version| version.call(&mut *store, ()));
        match version {
            Ok(VERSION) => {}
            Ok(other) => return Err(StartFault::Version(other)),
            Err(error) => return Err(StartFault::Instantiate(fault(&error, deadline))),
        }
        if let Ok(configure) = instance.get_typed_func::<(), i32>(&mut *store, Hook::Configure.export()) {
            let verdict = configure.call(&mut *store, ());
            let verdict = verdict.map_err(|error| StartFault::Configure(fault(&error, deadline)))?;
            match Verdict::from_i32(verdict) {
                Some(Verdict::Continue) => {}
                Some(Verdict::Fail) => return Err(StartFault::Configure(Fault::Failed(store.data_mut().refusal()))),
                _ => {
                    let text = format!("`{}` returned {verdict}", Hook::Configure.export());
                    return Err(StartFault::Configure(Fault::Trap(text)));
                }
            }
        }
        Ok(instance)
    }

    /// Finds the exports once; a call then only reads a field. Their types were checked with the module.
    fn resolve(mut store: Store<State>, instance: &Instance, program: &Program) -> Self {
        let mut find = |export: &Option<ModuleExport>| {
            instance.get_module_export(&mut store, export.as_ref()?).and_then(Extern::into_func)
        };
        let deciding = Hook::ALL.map(|hook| match hook.signature() {
            Signature::Deciding => find(program.hooks.get(hook as usize)?),
            Signature::Plain | Signature::Noting => None,
        });
        let mut one = |hook: Hook| find(program.hooks.get(hook as usize)?);
        let (log, hand_over) = (one(Hook::Log), one(Hook::HandOver));
        let (resume, release) = (find(&program.resume), find(&program.release));
        Self {
            deciding: deciding.map(|function| function?.typed(&store).ok()),
            log: log.and_then(|function| function.typed(&store).ok()),
            hand_over: hand_over.and_then(|function| function.typed(&store).ok()),
            resume: resume.and_then(|function| function.typed(&store).ok()),
            release: release.and_then(|function| function.typed(&store).ok()),
            store,
        }
    }

    /// Calls the guest. What is not exported goes on.
    ///
    /// # Errors
    /// After any fault the instance is in an unknown state and must not be called again.
    pub fn call(&mut self, entry: Entry, slot: i32, ticks: u64, deadline: Duration) -> Result<Verdict, Fault> {
        self.store.set_epoch_deadline(ticks);
        let store = &mut self.store;
        let verdict = match entry {
            Entry::Hook(Hook::Log) => self.log.as_ref().map(|call| call.call(store, slot).map(|()| 0)),
            Entry::Hook(Hook::HandOver) => self.hand_over.as_ref().map(|call| call.call(store, ())),
            Entry::Hook(hook) => {
                let call = self.deciding.get(hook as usize).and_then(Option::as_ref);
                call.map(|call| call.call(store, slot))
            }
            Entry::Resume(ticket) => self.resume.as_ref().map(|call| call.call(store, (slot, ticket))),
            Entry::Release => self.release.as_ref().map(|call| call.call(store, slot).map(|()| 0)),
        };
        match verdict {
            None => Ok(Verdict::Continue),
            Some(Ok(number)) => {
                Verdict::from_i32(number).ok_or_else(|| Fault::Trap(format!("returned {number}, which is no verdict")))
            }
            Some(Err(error)) => Err(fault(&error, deadline)),
        }
    }

    pub const fn can_resume(&self) -> bool {
        self.resume.is_some()
    }

    pub const fn wants_release(&self) -> bool {
        self.release.is_some()
    }
}

/// What an error of a call was. The guest's functions are named, innermost first, as far as the module has names.
fn fault(error: &wasmtime::Error, deadline: Duration) -> Fault {
    if error.downcast_ref::<Trap>() == Some(&Trap::Interrupt) {
        return Fault::Deadline(deadline);
    }
    let frames = error.downcast_ref::<WasmBacktrace>().map(WasmBacktrace::frames).unwrap_or_default();
    let names: Vec<_> = frames.iter().filter_map(|frame| frame.func_name()).take(3).collect();
    let cause = error.root_cause().to_string();
    let cause = cause.strip_prefix("wasm trap: ").unwrap_or(&cause);
    Fault::Trap(if names.is_empty() { cause.to_owned() } else { format!("{cause} in {}", names.join(" < ")) })
}

// === impl StartFault ===

impl StartFault {
    /// As the error of a load, on the control thread.
    pub fn into_load_error(self) -> LoadError {
        match self {
            Self::Version(found) => LoadError::Version { found },
            Self::Instantiate(Fault::Deadline(limit)) | Self::Configure(Fault::Deadline(limit)) => {
                LoadError::Slow(limit)
            }
            Self::Configure(Fault::Failed(reason)) => LoadError::Refused(reason),
            Self::Configure(fault) => LoadError::Configure(fault.to_string()),
            Self::Instantiate(fault) => LoadError::Instantiate(fault.to_string()),
        }
    }

    /// As the fault of a plugin that ran before, on a worker.
    pub fn into_fault(self) -> Fault {
        match self {
            Self::Version(found) => Fault::Trap(format!("now has version {found} of the abi")),
            Self::Instantiate(fault) | Self::Configure(fault) => fault,
        }
    }
}
