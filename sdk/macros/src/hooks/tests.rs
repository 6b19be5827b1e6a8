//! What is said of a block that is not right.

use syn::parse_quote;

use super::Hooks;

/// Every error of a plugin that has these functions besides `configure`.
fn errors(functions: &str) -> Vec<String> {
    let functions: proc_macro2::TokenStream = functions.parse().unwrap();
    let block = parse_quote! {
        impl P {
            fn configure(config: Config, define: &mut Define) -> Result<Self> { Ok(Self) }
            #functions
        }
    };
    match Hooks::read(&block) {
        Ok(_) => Vec::new(),
        Err(errors) => errors.into_iter().map(|error| error.to_string()).collect(),
    }
}

#[track_caller]
fn refused(functions: &str, error: &str) {
    assert_eq!(errors(functions), [error]);
}

#[test]
fn every_hook_has_a_signature_that_is_right() {
    let right = "
        fn hand_over(&self) -> Vec<u8> { Vec::new() }
        async fn tick(&self, background: &Background) {}
        async fn connection_open(&self, connection: &Connection) -> Admission { Admission::Accept }
        async fn request_head(&self, exchange: &mut Exchange, state: &mut u32) {}
        async fn request_body(&self, exchange: &Exchange, body: &mut Body, state: &u32) {}
        fn request_trailers(&self, exchange: &tidegate_sdk::Exchange) {}
        fn upstream_chosen(&self, exchange: &Exchange) {}
        fn upstream_error(&self, exchange: &Exchange) {}
        fn retry(&self, exchange: &Exchange) {}
        fn response_head(&self, exchange: &Exchange) {}
        fn response_body(&self, exchange: &Exchange, body: &Body) {}
        fn response_trailers(&self, exchange: &Exchange) {}
        fn log(&self, exchange: &Exchange) {}
        fn connection_close(&self, connection: &Connection) {}
        fn limit_decision(&self, decision: &LimitDecision) {}
        fn breaker_transition(&self, transition: &BreakerTransition) {}
        fn helper(self, whatever: u32) {}
    ";
    assert_eq!(errors(right), Vec::<String>::new());
    assert_eq!(errors("fn tick(&mut self) {}"), Vec::<String>::new());
}

#[test]
fn a_hook_that_cannot_wait_says_why() {
    refused(
        "async fn log(&self, exchange: &Exchange) {}",
        "`log` cannot be async: the exchange is over, and its record leaves with the end of the hook",
    );
    refused(
        "async fn hand_over(&self) {}",
        "`hand_over` cannot be async: the next instance waits for what it hands over",
    );
}

#[test]
fn a_hook_that_waits_shares_the_plugin() {
    refused(
        "async fn request_head(&mut self, exchange: &Exchange) {}",
        "`request_head` is async, so it takes `&self`: while it waits, others use the plugin too; put what changes into a `Cell` or `RefCell`",
    );
    refused(
        "async fn request_head(&self, exchange: &Exchange) {} fn tick(&mut self) {}",
        "`tick` takes `&self`, since `request_head` is async and holds the plugin while it waits; put what changes into a `Cell` or `RefCell`",
    );
}

#[test]
fn what_a_hook_takes_is_said_where_it_does_not() {
    refused("fn log(exchange: &Exchange) {}", "`log` takes `&self` or `&mut self`");
    refused("fn log(self, exchange: &Exchange) {}", "`log` takes `&self` or `&mut self`: the plugin lives on");
    let exchange = "takes `self` and `exchange: &Exchange`, and perhaps `state: &mut` of a type of yours";
    refused("fn log(&self) {}", &format!("`log` {exchange}"));
    refused("fn retry(&self, exchange: Exchange) {}", &format!("`retry` {exchange}"));
    let both =
        "takes `self` and `exchange: &Exchange`, `body: &mut Body`, and perhaps `state: &mut` of a type of yours";
    refused("fn request_body(&self, body: &mut Body) {}", &format!("`request_body` {both}"));
    let body = "takes `body: &mut Body` after the exchange";
    refused("fn response_body(&self, exchange: &Exchange) {}", &format!("`response_body` {body}"));
    refused("fn response_body(&self, exchange: &Exchange, s: &mut u32) {}", &format!("`response_body` {body}"));
    refused(
        "fn connection_open(&self, exchange: &Exchange) {}",
        "`connection_open` takes `self` and `connection: &Connection`",
    );
    refused("fn limit_decision(&self) {}", "`limit_decision` takes `self` and `decision: &LimitDecision`");
    refused(
        "fn tick(&self, exchange: &Exchange) {}",
        "`tick` takes `self` and `background: &Background`, or nothing but `self`",
    );
    refused("fn hand_over(&self, define: &mut Define) {}", "`hand_over` takes nothing but `self`");
    refused("fn log(&self, exchange: &Exchange, state: u32) {}", "the state of an exchange is taken as `&mut` or `&`");
    refused("fn log(&self, exchange: &Exchange, s: &mut u32, t: &mut u32) {}", "`log` takes nothing after the state");
    refused(
        "fn connection_close(&self, connection: &Connection, state: &mut u32) {}",
        "`connection_close` takes nothing more: only the hooks of an exchange have a state",
    );
    refused("fn log<T>(&self, exchange: &Exchange) {}", "a hook cannot be generic");
}

#[test]
fn a_name_that_is_almost_a_hooks_is_not_overlooked() {
    for (written, meant) in
        [("on_request", "request_head"), ("on_response_body", "response_body"), ("request_trailer", "request_trailers")]
    {
        let text =
            format!("`{written}` is no hook, did you mean `{meant}`? other functions belong in another impl block");
        refused(&format!("fn {written}(&self, exchange: &Exchange) {{}}"), &text);
    }
}

#[test]
fn all_errors_of_a_block_are_told_at_once() {
    assert_eq!(errors("fn log(&self) {} fn on_tick(&self) {} async fn hand_over(&self) {}").len(), 3);
}
