//! Which series the plugins of one name have, over all workers and generations: they share one budget.
//! It counts nothing into a series.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use super::{Definitions, Family, Gauge, OTHER};
use crate::telemetry::metrics::Registry;

/// The series of the plugins of one name. The lock is taken once for each new series and worker, and when a generation comes or goes.
///
/// A series outlives the generation that made it, and counts on in the next one. What no generation can say any more is removed, or
/// label values that change with every reload would use up the budget.
pub(in crate::plugin) struct Admitted {
    plugin: Arc<str>,
    registry: Registry,
    known: Mutex<Known>,
}

/// Of labels.
type Values = Box<[Box<str>]>;

#[derive(Default)]
struct Known {
    /// By metric and label values.
    series: HashMap<(Box<str>, Values), Family>,
    generations: HashMap<u64, Vocabulary>,
    /// `tidegate.plugin.series`, of the shared shard.
    gauge: Option<Gauge>,
}

/// What one generation can say: its metrics, and for each of their labels the values.
pub(in crate::plugin) struct Vocabulary(HashMap<Box<str>, Vec<Values>>);

// === impl Admitted ===

impl Admitted {
    pub fn new(plugin: Arc<str>, registry: Registry) -> Self {
        Self { plugin, registry, known: Mutex::default() }
    }

    /// Whether these are series of that registry.
    pub fn is_of(&self, registry: &Registry) -> bool {
        self.registry.is(registry)
    }

    /// There is one generation more. `gauge` shows how many series there are.
    pub fn enter(&self, generation: u64, vocabulary: Vocabulary, gauge: Gauge) {
        let mut known = self.lock();
        gauge.set(known.series.len() as f64);
        known.gauge = Some(gauge);
        known.generations.insert(generation, vocabulary);
    }

    /// A generation is gone. What only it could say is removed, unless it was the last: its series wait for a next one.
    pub fn leave(&self, generation: u64) {
        let mut known = self.lock();
        known.generations.remove(&generation);
        if known.generations.is_empty() {
            return;
        }
        let Known { series, generations, gauge } = &mut *known;
        for ((_, values), family) in
            series.extract_if(|(metric, values), _| !generations.values().any(|said| said.has(metric, values)))
        {
            let labels: Vec<&str> = std::iter::once(&*self.plugin).chain(values.iter().map(|value| &**value)).collect();
            self.registry.forget(&family, &labels);
        }
        if let Some(gauge) = gauge {
            gauge.set(series.len() as f64);
        }
    }

    /// Whether the plugin may have this series: it has it already, or the budget is not used up.
    pub fn admit(&self, family: &Family, values: &[&str], budget: usize) -> bool {
        let mut known = self.lock();
        let key = (family.definition().name.as_str().into(), values.iter().copied().map(Box::from).collect());
        if known.series.len() >= budget {
            return known.series.contains_key(&key);
        }
        known.series.insert(key, family.clone());
        if let Some(gauge) = &known.gauge {
            gauge.set(known.series.len() as f64);
        }
        true
    }

    fn lock(&self) -> MutexGuard<'_, Known> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

// === impl Vocabulary ===

impl Vocabulary {
    /// Of what was defined; `families` in the same order.
    pub fn new(definitions: &Definitions, families: &[Family]) -> Self {
        let metrics = definitions.metrics.iter().zip(families).map(|(metric, family)| {
            let sets = metric.labels.iter().filter_map(|&set| definitions.label_sets.get(set));
            let labels = sets.map(|set| set.values.iter().cloned().collect()).collect();
            (family.definition().name.as_str().into(), labels)
        });
        Self(metrics.collect())
    }

    fn has(&self, metric: &str, values: &[Box<str>]) -> bool {
        let Some(labels) = self.0.get(metric) else { return false };
        labels.len() == values.len()
            && labels.iter().zip(values).all(|(known, value)| &**value == OTHER || known.contains(value))
    }
}
