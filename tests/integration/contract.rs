//! The contract of plugins: one set of cases for every hook and every effect, which each adapter runs.
//! The cases know no adapter: a script says what the plugin does, and what must be seen of it is seen from outside.

mod adapter;
mod case;
mod cases;
mod complete;
mod matrix;
mod native;
mod script;
mod seen;
mod stage;

pub(super) use native::EFFECTS;
use stage::play;

#[tokio::test]
async fn connections_attempts_and_events() {
    play(cases::around::cases()).await;
}

#[tokio::test]
async fn bodies_and_trailers() {
    play(cases::bodies::cases()).await;
}

#[tokio::test]
async fn definitions_metrics_ticks_and_what_is_handed_over() {
    play(cases::definitions::cases()).await;
}

#[tokio::test]
async fn heads_facts_and_answers() {
    play(cases::heads::cases()).await;
}

#[tokio::test]
async fn every_effect_in_every_hook() {
    play(matrix::cases()).await;
}

#[tokio::test]
async fn routing() {
    play(cases::routing::cases()).await;
}

#[tokio::test]
async fn the_store() {
    play(cases::store::cases()).await;
}

#[tokio::test]
async fn log_and_trace() {
    play(cases::telemetry::cases()).await;
}

#[tokio::test]
async fn waiting_and_call_outs() {
    play(cases::waiting::cases()).await;
}
