//! How long twenty plugins take to start, with an empty cache of compiled modules and with a full one: `cargo bench -p tidegate --bench start`.
//! The modules are two of the shipped ones, each made another by a section that nobody reads; it serves no exchange.
#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::print_stdout,
    reason = "a measurement stops when something is wrong, and prints"
)]

use std::fs;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::rc::Rc;
use std::time::{Duration, Instant};

use tidegate::plugin::config::{Allow, Budget, Isolation, OnFailure, Plugin, Source};
use tidegate::plugin::{Engine, Instance, Loaded, builtin};
use tidegate::telemetry::metrics::Registry;

const PLUGINS: usize = 20;
/// What a warm start may take.
const PROMISE: Duration = Duration::from_millis(100);

fn main() -> ExitCode {
    let folder = std::env::temp_dir().join(format!("tidegate-start-{}", std::process::id()));
    let cache = folder.join("cache");
    let plugins = plugins(&folder);
    let bytes: u64 = plugins.iter().map(|(_, path)| fs::metadata(path).unwrap().len()).sum();
    println!("{PLUGINS} plugins, {} KiB of modules", bytes / 1024);

    let cold = start(&plugins, &cache, false);
    let kept: u64 = fs::read_dir(&cache).unwrap().map(|file| file.unwrap().metadata().unwrap().len()).sum();
    println!("cold: nothing is kept          {:>9.1} ms, {} KiB kept", milliseconds(cold), kept / 1024);
    let mut warm: Vec<_> = (0..10).map(|_| start(&plugins, &cache, true)).collect();
    warm.sort();
    let (best, worst) = (warm[0], warm[warm.len() - 1]);
    println!("warm: everything is kept       {:>9.1} ms, at worst {:.1} ms", milliseconds(best), milliseconds(worst));
    fs::remove_dir_all(&folder).unwrap();
    if best < PROMISE {
        return ExitCode::SUCCESS;
    }
    println!("that is more than {PROMISE:?}");
    ExitCode::FAILURE
}

/// Configuration and file of each plugin.
fn plugins(folder: &Path) -> Vec<(Plugin, PathBuf)> {
    fs::create_dir_all(folder).unwrap();
    let rules = serde_json::json!([{ "path_prefix": "/api", "value": "api" }]);
    let shipped = [
        ("correlation-id", serde_json::json!({})),
        ("request-classifier", serde_json::json!({ "label": "kind", "rules": rules, "otherwise": "page" })),
    ];
    (0..PLUGINS)
        .map(|number| {
            let name = format!("plugin-{number}");
            let (original, config) = &shipped[number % shipped.len()];
            let mut module = builtin::lookup(original).unwrap().to_vec();
            // A custom section: its id, its length, the length of its name, its name.
            module.extend([&[0, 3, 2], format!("{number:02}").as_bytes()].concat());
            let path = folder.join(format!("{name}.wasm"));
            fs::write(&path, module).unwrap();
            (plugin(&name, &path, config), path)
        })
        .collect()
}

/// From nothing to an instance of each plugin on one worker.
fn start(plugins: &[(Plugin, PathBuf)], cache: &Path, warm: bool) -> Duration {
    let begun = Instant::now();
    let mut engine = Engine::new().unwrap();
    engine.keep_modules(cache).unwrap();
    let registry = Registry::new();
    let shard = registry.shard();
    let started: Vec<_> = plugins
        .iter()
        .map(|(plugin, _)| {
            let loaded = Loaded::load(&engine, plugin, &registry, builtin::lookup).unwrap();
            let instance = Instance::new(&loaded, &shard, Rc::default(), None);
            (loaded, instance)
        })
        .collect();
    let took = begun.elapsed();
    assert!(started.iter().all(|(loaded, _)| loaded.report().cached == warm));
    took
}

fn plugin(name: &str, path: &Path, config: &serde_json::Value) -> Plugin {
    Plugin {
        name: name.into(),
        source: Source::File(path.to_owned()),
        config: config.clone(),
        on_failure: OnFailure::Closed,
        required: true,
        isolation: Isolation::Worker,
        allow: Allow::ALL,
        budget: Budget::default(),
    }
}

fn milliseconds(time: Duration) -> f64 {
    time.as_secs_f64() * 1e3
}
