//! Reads the hooks of an impl block, and says what is wrong with one.
//! It writes no code.

use syn::spanned::Spanned;
use syn::{Error, FnArg, ImplItem, ImplItemFn, ItemImpl, Receiver, Result, ReturnType, Type};
use tidegate_abi::Hook;

use crate::shape::{Subject, not_async, shape};

/// The hooks of a plugin.
pub(crate) struct Hooks {
    /// The type of the configuration.
    pub config: Type,
    /// Those besides `configure`.
    pub others: Vec<Other>,
    /// The author's state of an exchange.
    pub state: Option<Type>,
}

/// A hook besides `configure`.
pub(crate) struct Other {
    pub hook: Hook,
    pub name: syn::Ident,
    pub is_async: bool,
    pub is_exclusive: bool,
    /// Only `tick` has a choice.
    pub takes_subject: bool,
    pub takes_state: bool,
    /// Where an error about its receiver belongs.
    pub receiver: proc_macro2::Span,
    /// Where an error about its result belongs.
    pub result: proc_macro2::Span,
}

/// Names that look like hooks, and the hook that was probably meant. So do those of hooks with `on_` before them.
const MISTAKEN: [(&str, &str); 20] = [
    ("request", "request_head"),
    ("on_request", "request_head"),
    ("request_header", "request_head"),
    ("request_headers", "request_head"),
    ("response", "response_head"),
    ("on_response", "response_head"),
    ("response_header", "response_head"),
    ("response_headers", "response_head"),
    ("request_chunk", "request_body"),
    ("response_chunk", "response_body"),
    ("request_trailer", "request_trailers"),
    ("response_trailer", "response_trailers"),
    ("upstream_selected", "upstream_chosen"),
    ("upstream_failed", "upstream_error"),
    ("upstream_retry", "retry"),
    ("connection", "connection_open"),
    ("connection_opened", "connection_open"),
    ("connection_closed", "connection_close"),
    ("rate_limit", "limit_decision"),
    ("breaker", "breaker_transition"),
];

// === impl Hooks ===

impl Hooks {
    /// Reads all hooks; every error of the block is in the result.
    pub fn read(block: &ItemImpl) -> Result<Self> {
        let (mut config, mut others, mut state, mut errors) = (None, Vec::new(), None, None);
        for function in block.items.iter().filter_map(|item| match item {
            ImplItem::Fn(function) => Some(function),
            _ => None,
        }) {
            let read = match hook(function) {
                Ok(None) => Ok(()),
                Ok(Some(Hook::Configure)) => read_configure(function).map(|found| config = Some(found)),
                Ok(Some(hook)) => read_other(function, hook).map(|(other, found)| {
                    others.push(other);
                    state = state.take().or(found);
                }),
                Err(error) => Err(error),
            };
            note(&mut errors, read);
        }
        note(&mut errors, no_one_alone(&others));
        match (errors, config) {
            (Some(errors), _) => Err(errors),
            (None, Some(config)) => Ok(Self { config, others, state }),
            (None, None) => Err(Error::new(
                block.self_ty.span(),
                "a plugin needs `fn configure(config: Config, define: &mut Define) -> Result<Self>`",
            )),
        }
    }

    /// Whether a hook may wait.
    pub fn is_async(&self) -> bool {
        self.others.iter().any(|other| other.is_async)
    }
}

fn note(errors: &mut Option<Error>, read: Result<()>) {
    match (errors, read) {
        (_, Ok(())) => {}
        (Some(errors), Err(error)) => errors.combine(error),
        (errors, Err(error)) => *errors = Some(error),
    }
}

/// A hook that waits holds the plugin, so that no other can have it for itself.
fn no_one_alone(others: &[Other]) -> Result<()> {
    let Some(waits) = others.iter().find(|other| other.is_async) else { return Ok(()) };
    match others.iter().find(|other| other.is_exclusive) {
        None => Ok(()),
        Some(exclusive) => {
            let (waits, exclusive_name) = (waits.hook.name(), exclusive.hook.name());
            let text = if waits == exclusive_name {
                format!("`{waits}` is async, so it takes `&self`: while it waits, others use the plugin too")
            } else {
                format!(
                    "`{exclusive_name}` takes `&self`, since `{waits}` is async and holds the plugin while it waits"
                )
            };
            Err(Error::new(exclusive.receiver, format!("{text}; put what changes into a `Cell` or `RefCell`")))
        }
    }
}

/// Which hook a function is, if it is one.
fn hook(function: &ImplItemFn) -> Result<Option<Hook>> {
    let name = function.sig.ident.to_string();
    let meant = MISTAKEN.iter().find(|(mistaken, _)| *mistaken == name).map(|(_, meant)| *meant);
    let meant = meant.or_else(|| {
        let rest = name.strip_prefix("on_")?;
        Hook::ALL.into_iter().map(Hook::name).find(|known| *known == rest)
    });
    if let Some(meant) = meant {
        let text = format!("`{name}` is no hook, did you mean `{meant}`? other functions belong in another impl block");
        return Err(Error::new(function.sig.ident.span(), text));
    }
    let Some(hook) = Hook::ALL.into_iter().find(|hook| hook.name() == name) else { return Ok(None) };
    if let (Some(asyncness), Some(why)) = (&function.sig.asyncness, not_async(hook)) {
        return Err(Error::new(asyncness.span(), format!("`{name}` cannot be async: {why}")));
    }
    if !function.sig.generics.params.is_empty() {
        return Err(Error::new(function.sig.generics.span(), "a hook cannot be generic"));
    }
    Ok(Some(hook))
}

fn read_configure(function: &ImplItemFn) -> Result<Type> {
    let wanted = "`configure` is `fn configure(config: Config, define: &mut Define) -> Result<Self>`";
    let inputs: Vec<_> = function.sig.inputs.iter().collect();
    match (&inputs[..], &function.sig.output) {
        ([FnArg::Typed(config), FnArg::Typed(define)], ReturnType::Type(..)) if refers_to(&define.ty, "Define") => {
            Ok((*config.ty).clone())
        }
        _ => Err(Error::new(function.sig.span(), wanted)),
    }
}

fn read_other(function: &ImplItemFn, hook: Hook) -> Result<(Other, Option<Type>)> {
    let name = hook.name();
    let inputs: Vec<_> = function.sig.inputs.iter().collect();
    let Some((FnArg::Receiver(receiver), rest)) = inputs.split_first() else {
        return Err(Error::new(function.sig.span(), format!("`{name}` takes `&self` or `&mut self`")));
    };
    if !matches!(receiver.kind, syn::ReceiverKind::Reference(..)) {
        return Err(Error::new(receiver.span(), format!("`{name}` takes `&self` or `&mut self`: the plugin lives on")));
    }
    let (takes_subject, state) = parameters(function, hook, rest)?;
    let result = match &function.sig.output {
        ReturnType::Type(_, result) => result.span(),
        ReturnType::Default => function.sig.ident.span(),
    };
    let other = Other {
        hook,
        name: function.sig.ident.clone(),
        is_async: function.sig.asyncness.is_some(),
        is_exclusive: is_exclusive(receiver),
        takes_subject,
        takes_state: state.is_some(),
        receiver: receiver.span(),
        result,
    };
    Ok((other, state))
}

/// Reads what stands behind `self`: whether the subject is there, and the type of the state.
fn parameters(function: &ImplItemFn, hook: Hook, rest: &[&FnArg]) -> Result<(bool, Option<Type>)> {
    let (subject, _) = shape(hook);
    let name = hook.name();
    let types: Vec<&Type> = rest
        .iter()
        .filter_map(|argument| match argument {
            FnArg::Typed(argument) => Some(&*argument.ty),
            FnArg::Receiver(_) => None,
        })
        .collect();
    let Some((subject_type, written)) = subject.name() else {
        return match rest.first() {
            None => Ok((false, None)),
            Some(other) => Err(Error::new(other.span(), format!("`{name}` takes nothing but `self`"))),
        };
    };
    let mut types = types.into_iter();
    match types.next() {
        None if subject == Subject::Background => return Ok((false, None)),
        Some(first) if refers_to(first, subject_type) => {}
        found => {
            let span = found.map_or_else(|| function.sig.ident.span(), Spanned::span);
            let also = match subject {
                Subject::Exchange => ", and perhaps `state: &mut` of a type of yours",
                Subject::Body => ", `body: &mut Body`, and perhaps `state: &mut` of a type of yours",
                Subject::Background => ", or nothing but `self`",
                _ => "",
            };
            return Err(Error::new(span, format!("`{name}` takes `self` and `{written}`{also}")));
        }
    }
    if subject == Subject::Body {
        match types.next() {
            Some(body) if refers_to(body, "Body") => {}
            found => {
                let span = found.map_or_else(|| function.sig.ident.span(), Spanned::span);
                return Err(Error::new(span, format!("`{name}` takes `body: &mut Body` after the exchange")));
            }
        }
    }
    let state = match types.next() {
        None => None,
        Some(other) if !subject.has_state() => {
            let text = format!("`{name}` takes nothing more: only the hooks of an exchange have a state");
            return Err(Error::new(other.span(), text));
        }
        Some(Type::Reference(state)) => Some((*state.elem).clone()),
        Some(other) => return Err(Error::new(other.span(), "the state of an exchange is taken as `&mut` or `&`")),
    };
    match types.next() {
        None => Ok((true, state)),
        Some(other) => Err(Error::new(other.span(), format!("`{name}` takes nothing after the state"))),
    }
}

/// Whether a type is a reference to what is called so.
fn refers_to(found: &Type, name: &str) -> bool {
    let Type::Reference(reference) = found else { return false };
    match &*reference.elem {
        Type::Path(path) => path.path.segments.last().is_some_and(|last| last.ident == name),
        _ => false,
    }
}

/// Whether a receiver is `&mut self`.
fn is_exclusive(receiver: &Receiver) -> bool {
    matches!(receiver.kind, syn::ReceiverKind::Reference(_, _, Some(_)))
}

#[cfg(test)]
mod tests;
