//! Writes what `#[plugin]` adds to an impl block: the `Plugin` trait, and the exports of a module.
//! What the block must look like stands in `hooks`.

use proc_macro2::TokenStream;
use quote::{quote, quote_spanned};
use syn::spanned::Spanned;
use syn::{Error, ItemImpl, Result, Type, parse_quote};
use tidegate_abi::{EXPORT_RELEASE, EXPORT_VERSION, Hook, VERSION};

use crate::hooks::{Hooks, Other};

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
        #[allow(clippy::needless_pass_by_value, clippy::needless_pass_by_ref_mut, clippy::unnecessary_wraps, clippy::unused_self)]
    });
    let (implementation, exports) = (implementation(&block.self_ty, &hooks), exports(&block.self_ty, &hooks));
    Ok(quote! { #block #implementation #exports })
}

/// The trait, by which a test and the exports call the hooks.
fn implementation(plugin: &Type, hooks: &Hooks) -> TokenStream {
    let Hooks { config, others, state } = hooks;
    let state = state.as_ref().map_or_else(|| quote! { () }, |state| quote! { #state });
    let names = others.iter().map(|other| variant(other.hook));
    let hooks = others.iter().map(|other| method(plugin, other));
    quote! {
        #[automatically_derived]
        #[allow(clippy::unit_arg)]
        impl ::tidegate_sdk::Plugin for #plugin {
            type State = #state;
            const HOOKS: &'static [::tidegate_sdk::Hook] = &[::tidegate_sdk::Hook::Configure, #(#names),*];

            fn configure(config: &[u8], define: &mut ::tidegate_sdk::Define) -> ::tidegate_sdk::Result<Self> {
                let config: #config = ::tidegate_sdk::__private::config(config)?;
                ::tidegate_sdk::__private::configured(<#plugin>::configure(config, define))
            }

            #(#hooks)*
        }
    }
}

fn method(plugin: &Type, other: &Other) -> TokenStream {
    let Other { hook, name, takes_state, result } = other;
    if *hook == Hook::Tick {
        let call = quote! { <#plugin>::tick(self) };
        let done = quote_spanned! { *result => ::tidegate_sdk::__private::done(#call) };
        return quote! { fn tick(&mut self) -> ::tidegate_sdk::Result<()> { #done } };
    }
    let state = takes_state.then(|| quote! { , state });
    let (wrap, returns) = match hook {
        Hook::Log => (quote! { done }, quote! { () }),
        _ => (quote! { flow }, quote! { ::tidegate_sdk::Flow }),
    };
    let call = quote! { <#plugin>::#name(self, exchange #state) };
    let wrapped = quote_spanned! { *result => ::tidegate_sdk::__private::#wrap(#call) };
    quote! {
        #[allow(unused_variables)]
        fn #name(
            &mut self,
            exchange: &mut ::tidegate_sdk::Exchange,
            state: &mut Self::State,
        ) -> ::tidegate_sdk::Result<#returns> {
            #wrapped
        }
    }
}

/// The exports: only in a module, so that a test can hold several plugins.
fn exports(plugin: &Type, hooks: &Hooks) -> TokenStream {
    let mut exports = vec![
        export(EXPORT_VERSION, &quote! { () -> i32 { #VERSION } }),
        export(Hook::Configure.export(), &quote! { () -> i32 { INSTANCE.with(|instance| instance.configure()) } }),
    ];
    for Other { hook, name, .. } in &hooks.others {
        let body = match hook {
            Hook::Tick => quote! { (_slot: i32) -> i32 { INSTANCE.with(|instance| instance.tick()) } },
            Hook::Log => quote! { (slot: i32) { INSTANCE.with(|instance| instance.log(slot)) } },
            _ => quote! { (slot: i32) -> i32 { INSTANCE.with(|instance| instance.#name(slot)) } },
        };
        exports.push(export(hook.export(), &body));
    }
    if hooks.state.is_some() {
        // Without a state there is nothing to release, and the host need not call.
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
    let function = quote::format_ident!("{name}");
    quote! {
        #[allow(unsafe_code)]
        #[unsafe(export_name = #name)]
        extern "C" fn #function #rest
    }
}

fn variant(hook: Hook) -> TokenStream {
    match hook {
        Hook::Configure => quote! { ::tidegate_sdk::Hook::Configure },
        Hook::Tick => quote! { ::tidegate_sdk::Hook::Tick },
        Hook::RequestHead => quote! { ::tidegate_sdk::Hook::RequestHead },
        Hook::ResponseHead => quote! { ::tidegate_sdk::Hook::ResponseHead },
        Hook::Log => quote! { ::tidegate_sdk::Hook::Log },
        other => unreachable!("`{}` is refused before", other.name()),
    }
}
