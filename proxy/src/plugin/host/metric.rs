//! Host functions that change a metric. Two array look-ups to the series, then the shard's own update.
//! How series are numbered and bounded stands in `series`.

use tidegate_abi::{Hook, MODULE, imports, status};
use wasmtime::{Caller, Linker};

use super::{Result, State};
use crate::plugin::config::Capability;
use crate::plugin::drops::{Effect, Why};
use crate::plugin::series::Update;

pub(super) fn link(linker: &mut Linker<State>) -> Result<()> {
    linker.func_wrap(
        MODULE,
        imports::METRIC_ADD,
        |mut caller: Caller<'_, State>, metric: i32, series: i32, value: f64| {
            update(caller.data_mut(), metric, series, Update::Add(value))
        },
    )?;
    linker.func_wrap(
        MODULE,
        imports::METRIC_SET,
        |mut caller: Caller<'_, State>, metric: i32, series: i32, value: f64| {
            update(caller.data_mut(), metric, series, Update::Set(value))
        },
    )?;
    linker.func_wrap(
        MODULE,
        imports::METRIC_RECORD,
        |mut caller: Caller<'_, State>, metric: i32, series: i32, value: f64| {
            update(caller.data_mut(), metric, series, Update::Record(value))
        },
    )?;
    Ok(())
}

fn update(state: &mut State, metric: i32, series: i32, update: Update) -> i32 {
    if let Err(status) = state.demand(Capability::Metrics, Effect::Metric) {
        return status;
    }
    if state.hook == Hook::Configure {
        return status::STAGE;
    }
    let trace = state.record.as_deref().filter(|record| record.trace.sampled).map(|record| &record.trace);
    match state.counted.series.update(metric.cast_unsigned(), series.cast_unsigned(), update, trace) {
        Ok(()) => status::OK,
        // The value is not lost: it is in the overflow series.
        Err(Why::Budget) => {
            state.counted.drops.count(Effect::Series, Why::Budget);
            status::OK
        }
        Err(why) => state.refuse(Effect::Metric, why),
    }
}
