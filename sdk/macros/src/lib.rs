//! The `#[plugin]` attribute: from the hooks of an impl block to the exports of a module.
//! It knows the names of hooks and exports, and nothing of what they do.

use proc_macro::TokenStream;
use quote::quote;

mod expand;
mod hooks;

/// Makes the type of an impl block a plugin: each hook that stands in the block is exported, and nothing else.
///
/// | Hook | Signature | Returns |
/// | --- | --- | --- |
/// | `configure` | `fn configure(config: C, define: &mut Define)`, where `C: Deserialize` | `Result<Self>` |
/// | `tick` | `fn tick(&mut self)` | `()`, `Result<()>` |
/// | `request_head` | `fn request_head(&self, exchange: &Exchange)` | `()`, `Flow`, `Reply`, or a `Result` of one |
/// | `response_head` | `fn response_head(&self, exchange: &Exchange)` | as above |
/// | `log` | `fn log(&self, exchange: &Exchange)` | `()`, `Result<()>` |
///
/// `configure` must be there; the others are up to you. A hook takes `&self` or `&mut self`, and `&Exchange` or `&mut Exchange`. The
/// hooks of an exchange may take one more parameter, `state: &mut S` with any `S: Default`: it begins as the default, is
/// handed to every hook of the same exchange that asks for it, and is dropped after the exchange.
///
/// Other functions and constants of the block are left as they are.
///
/// A hook cannot be `async` yet. What is written wrong is refused where it stands: the tests of the SDK hold examples.
#[proc_macro_attribute]
pub fn plugin(arguments: TokenStream, item: TokenStream) -> TokenStream {
    match expand::plugin(&arguments.into(), &item.clone().into()) {
        Ok(expanded) => expanded.into(),
        Err(error) => {
            // The block stays, so that nothing else seems to be missing too.
            let (error, item) = (error.into_compile_error(), proc_macro2::TokenStream::from(item));
            quote! { #item #error }.into()
        }
    }
}
