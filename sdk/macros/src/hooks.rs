//! Reads the hooks of an impl block, and says what is wrong with one.
//! It writes no code.

use syn::spanned::Spanned;
use syn::{Error, FnArg, ImplItem, ImplItemFn, ItemImpl, Result, ReturnType, Type};
use tidegate_abi::Hook;

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
    pub takes_state: bool,
    /// Where an error about its result belongs.
    pub result: proc_macro2::Span,
}

/// Names that look like hooks, and the hook that was probably meant.
const MISTAKEN: [(&str, &str); 8] = [
    ("request", "request_head"),
    ("on_request", "request_head"),
    ("request_headers", "request_head"),
    ("response", "response_head"),
    ("on_response", "response_head"),
    ("response_headers", "response_head"),
    ("on_log", "log"),
    ("on_tick", "tick"),
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
            if let Err(error) = read {
                match &mut errors {
                    None => errors = Some(error),
                    Some(errors) => errors.combine(error),
                }
            }
        }
        match (errors, config) {
            (Some(errors), _) => Err(errors),
            (None, Some(config)) => Ok(Self { config, others, state }),
            (None, None) => Err(Error::new(
                block.self_ty.span(),
                "a plugin needs `fn configure(config: Config, define: &mut Define) -> Result<Self>`",
            )),
        }
    }
}

/// Which hook a function is, if it is one.
fn hook(function: &ImplItemFn) -> Result<Option<Hook>> {
    let name = function.sig.ident.to_string();
    if let Some((_, meant)) = MISTAKEN.iter().find(|(mistaken, _)| *mistaken == name) {
        let text = format!("`{name}` is no hook, did you mean `{meant}`? other functions belong in another impl block");
        return Err(Error::new(function.sig.ident.span(), text));
    }
    let known = [Hook::Configure, Hook::Tick, Hook::RequestHead, Hook::ResponseHead, Hook::Log];
    let Some(hook) = known.into_iter().find(|hook| hook.name() == name) else { return Ok(None) };
    if let Some(asyncness) = &function.sig.asyncness {
        let text = "async hooks are not there yet: a hook runs to its end at once, so write it without `async`";
        return Err(Error::new(asyncness.span(), text));
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
        ([FnArg::Typed(config), FnArg::Typed(define)], ReturnType::Type(..)) if is_reference(&define.ty) => {
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
    let state = match (hook, rest) {
        (Hook::Tick, []) => None,
        (Hook::Tick, [other, ..]) => {
            return Err(Error::new(other.span(), "`tick` takes nothing but `self`: there is no exchange"));
        }
        (_, [FnArg::Typed(exchange)]) if is_reference(&exchange.ty) => None,
        (_, [FnArg::Typed(exchange), FnArg::Typed(state)]) if is_reference(&exchange.ty) => match &*state.ty {
            Type::Reference(state) => Some((*state.elem).clone()),
            other => return Err(Error::new(other.span(), "the state of an exchange is taken as `&mut` or `&`")),
        },
        _ => {
            let text =
                format!("`{name}` takes `&self`, `exchange: &Exchange`, and perhaps `state: &mut` of a type of yours");
            return Err(Error::new(function.sig.inputs.span(), text));
        }
    };
    let result = match &function.sig.output {
        ReturnType::Type(_, result) => result.span(),
        ReturnType::Default => function.sig.ident.span(),
    };
    let other = Other { hook, name: function.sig.ident.clone(), takes_state: state.is_some(), result };
    Ok((other, state))
}

fn is_reference(found: &Type) -> bool {
    matches!(found, Type::Reference(_))
}
