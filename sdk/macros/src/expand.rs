//! Writes what `#[plugin]` adds to an impl block: the `Plugin` trait, and the exports of a module.
//! What the block must look like stands in `hooks`.

use proc_macro2::TokenStream;
use quote::{format_ident, quote, quote_spanned};
use syn::spanned::Spanned;
use syn::{Error, ItemImpl, Result, Type, parse_quote};
use tidegate_abi::{EXPORT_RELEASE, EXPORT_RESUME, EXPORT_VERSION, Hook, Signature, VERSION};

use crate::hooks::{Hooks, Other};
use crate::shape::shape;

pub(crate) fn plugin(arguments: &TokenStream, item: &TokenStream) -> Result<TokenStream> {
    if !arguments.is_empty() {
        return Err(Error::new(
            arguments.span(),
            "`#[plugin]` takes nothing: the configuration belongs in `configure`",
        ));
    }
    let mut block: ItemImpl = syn::parse2(item.clone()).map_err(|_| {
        Error::new(item.span(), "`#[plugin]` stands on the impl block that has the hooks: `impl MyPlugin { … }`")
    })?;
    if let Some((name, _)) = &block.trait_ {
        return Err(Error::new(name.span(), "`#[plugin]` stands on an impl block of the type itself, not of a trait"));
    }
    if !block.generics.params.is_empty() {
        return Err(Error::new(block.generics.span(), "a plugin cannot be generic: a module exports one plugin"));
    }
    let hooks = Hooks::read(&block)?;
    // The shape of a hook is ours, not the author's choice.
    block.attrs.push(parse_quote! {
        #[allow(
            clippy::needless_pass_by_value,
            clippy::needless_pass_by_ref_mut,
            clippy::unnecessary_wraps,
            clippy::unused_self,
            clippy::unused_async
        )]
    });
    let (implementation, exports) = (implementation(&block.self_ty, &hooks), exports(&block.self_ty, &hooks));
    Ok(quote! { #block #implementation #exports })
}

/// The trait, by which a test and the exports call the hooks.
fn implementation(plugin: &Type, hooks: &Hooks) -> TokenStream {
    let Hooks { config, others, state } = hooks;
    let state = state.as_ref().map_or_else(|| quote! { () }, |state| quote! { #state });
    let running = if hooks.is_async() {
        quote! { Shared }
    } else {
        quote! { Alone }
    };
    let names = others.iter().map(|other| variant(other.hook));
    let arms = others.iter().map(|other| arm(plugin, &state, other));
    quote! {
        #[automatically_derived]
        #[allow(clippy::unit_arg)]
        impl ::tidegate_sdk::Plugin for #plugin {
            type State = #state;
            type Running = ::tidegate_sdk::__private::#running<Self>;
            const HOOKS: &'static [::tidegate_sdk::Hook] = &[::tidegate_sdk::Hook::Configure, #(#names),*];

            fn configure(config: &[u8], define: &mut ::tidegate_sdk::Define) -> ::tidegate_sdk::Result<Self> {
                let config: #config = ::tidegate_sdk::__private::config(config)?;
                ::tidegate_sdk::__private::configured(<#plugin>::configure(config, define))
            }

            #[inline(always)]
            #[allow(unused_variables)]
            fn call(running: &mut Self::Running, hook: ::tidegate_sdk::Hook, slot: i32) -> i32 {
                match hook {
                    #(#arms)*
                    _ => ::tidegate_sdk::__private::CONTINUE,
                }
            }
        }
    }
}

/// What a hook of a match over all hooks does.
fn arm(plugin: &Type, state: &TokenStream, other: &Other) -> TokenStream {
    let Other { hook, name, is_async, takes_subject, takes_state, result, .. } = other;
    let (subject, gives) = shape(*hook);
    let (variant, verdict) = (variant(*hook), gives.verdict());
    let mut arguments = if *takes_subject { subject.arguments() } else { TokenStream::new() };
    if *takes_state {
        arguments = quote! { #arguments, state };
    }
    let call = quote! { <#plugin>::#name(plugin, #arguments) };
    if *is_async {
        let verdict = quote_spanned! { *result => ::tidegate_sdk::__private::#verdict(#call.await) };
        return quote! {
            #variant => running.wait(slot, async |plugin: &#plugin, state: &mut #state| #verdict),
        };
    }
    let verdict = quote_spanned! { *result => ::tidegate_sdk::__private::#verdict(#call) };
    match hook {
        // It has no slot: whatever waits in one goes on.
        Hook::HandOver => quote! { #variant => running.run_apart(|plugin| #verdict), },
        Hook::Log => quote! { #variant => running.run_last(slot, |plugin, state| #verdict), },
        _ => quote! { #variant => running.run(slot, |plugin, state| #verdict), },
    }
}

/// The exports: only in a module, so that a test can hold several plugins.
fn exports(plugin: &Type, hooks: &Hooks) -> TokenStream {
    // Whoever calls the constructors itself has no wrapper around each export that does so again and again.
    let initialize = quote! {
        () {
            unsafe extern "C" {
                safe fn __wasm_call_ctors();
            }
            __wasm_call_ctors();
        }
    };
    let mut exports = vec![
        export("_initialize", &initialize),
        export(EXPORT_VERSION, &quote! { () -> i32 { #VERSION } }),
        export(Hook::Configure.export(), &quote! { () -> i32 { INSTANCE.with(|instance| instance.configure()) } }),
    ];
    for Other { hook, .. } in &hooks.others {
        let variant = variant(*hook);
        let body = match hook.signature() {
            Signature::Plain => quote! { () -> i32 { INSTANCE.with(|instance| instance.call(#variant, 0)) } },
            Signature::Deciding => {
                quote! { (slot: i32) -> i32 { INSTANCE.with(|instance| instance.call(#variant, slot)) } }
            }
            Signature::Noting => quote! { (slot: i32) { INSTANCE.with(|instance| _ = instance.call(#variant, slot)) } },
        };
        exports.push(export(hook.export(), &body));
    }
    if hooks.is_async() {
        let body =
            quote! { (slot: i32, ticket: i32) -> i32 { INSTANCE.with(|instance| instance.resume(slot, ticket)) } };
        exports.push(export(EXPORT_RESUME, &body));
    }
    // The log hook is an exchange's last: it lets go of the state itself, and the host need not call once more.
    let lets_go = hooks.others.iter().any(|other| other.hook == Hook::Log);
    if hooks.is_async() || hooks.state.is_some() && !lets_go {
        // Otherwise there is nothing to release.
        let body = quote! { (slot: i32) { INSTANCE.with(|instance| instance.release(slot)) } };
        exports.push(export(EXPORT_RELEASE, &body));
    }
    quote! {
        #[cfg(target_family = "wasm")]
        const _: () = {
            ::std::thread_local! {
                static INSTANCE: ::tidegate_sdk::__private::Instance<#plugin> =
                    const { ::tidegate_sdk::__private::Instance::new() };
            }
            #(#exports)*
        };
        // Elsewhere nothing calls a plugin but its tests; that does not make it dead code.
        #[cfg(not(target_family = "wasm"))]
        const _: fn() -> i32 = || ::tidegate_sdk::__private::Instance::<#plugin>::new().configure();
    }
}

/// An exported function. Its name is the only thing unsafe about it: the linker refuses a second one.
fn export(name: &str, rest: &TokenStream) -> TokenStream {
    let function = format_ident!("{name}");
    quote! {
        #[allow(unsafe_code)]
        #[unsafe(export_name = #name)]
        extern "C" fn #function #rest
    }
}

fn variant(hook: Hook) -> TokenStream {
    let name = format_ident!("{}", format!("{hook:?}"));
    quote! { ::tidegate_sdk::Hook::#name }
}
