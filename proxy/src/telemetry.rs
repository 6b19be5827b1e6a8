//! One record per exchange and its outputs: metrics, access log line and spans; exporters run on threads of their own.
//! It never blocks a worker and knows no stage of the exchange.

pub mod config;
pub mod diagnostics;
pub mod record;
pub mod scope;
pub mod access_log;
mod outputs;
mod outage;
mod spans;
mod otlp;
pub mod correlation;
pub mod sampling;
pub mod trace_context;
pub mod b3;
pub mod metrics;

use std::io;
use std::sync::Arc;
use std::time::{Duration, Instant};

use access_log::{AccessLog, Counts, LogBuffer, Output, Writer};
use metrics::catalogue::Catalogue;
use metrics::{Conflict, Registry};
use otlp::{Exporter, Retired};
use outage::Watch;
use outputs::{Current, Outputs};
use sampling::Sampler;
use scope::WorkerScope;

/// Everything that leaves the process about its exchanges. Owned by the control thread.
#[derive(Debug)]
pub struct Telemetry {
    registry: Registry,
    catalogue: Catalogue,
    writer: Writer,
    output: Output,
    exporter: Option<Exporter>,
    /// Of earlier versions, until they have sent what they had.
    retired: Vec<Retired>,
    current: Current,
}

/// How the outputs of one version of the configuration fare. To ask never waits for one.
#[derive(Clone, Debug)]
pub struct Health {
    /// `None` where there is no access log.
    log: Option<Watch>,
    /// `None` where there is no collector: of spans and of metrics.
    collector: Option<[Watch; 2]>,
}

/// Why telemetry cannot start, or cannot change.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    #[error("a metric of the proxy cannot be defined")]
    Metrics(#[from] Conflict),
    #[error("the access log cannot be opened at `{path}`: {source}")]
    AccessLog { path: String, source: io::Error },
    #[error("a thread cannot be started")]
    Thread(#[source] io::Error),
    #[error("the OTLP endpoint `{endpoint}` cannot be used: {problem}")]
    Endpoint { endpoint: String, problem: String },
}

/// How long the last words may take.
pub const SHUTDOWN: Duration = Duration::from_secs(5);

/// Looks at all that [`Telemetry::start`] needs, and leaves nothing behind.
///
/// # Errors
/// As for [`Telemetry::start`].
pub fn check(config: &config::Telemetry) -> Result<(), Error> {
    if let Some(Output::File(path)) = config.access_log.as_ref().map(|log| Output::from(&log.output)) {
        // A link that leads nowhere is somebody's, too.
        let is_new = path.symlink_metadata().is_err();
        open(&Output::File(path.clone()))?;
        if is_new {
            let _ = std::fs::remove_file(&path);
        }
    }
    otlp::Settings::of(config).map_or(Ok(()), |settings| otlp::check(&settings))
}

// === impl Error ===

impl Error {
    /// Where in the configuration its cause is.
    pub const fn keys(&self) -> &'static [&'static str] {
        match self {
            Self::AccessLog { .. } => &["telemetry", "access_log", "output"],
            Self::Endpoint { .. } => &["telemetry", "otlp", "endpoint"],
            Self::Metrics(_) | Self::Thread(_) => &[],
        }
    }
}

// === impl Telemetry ===

impl Telemetry {
    /// Starts the writer of the access log, and the exporter where there is a collector.
    ///
    /// # Errors
    /// The log's file cannot be opened, the collector's address cannot be used, or a thread cannot be started. A collector
    /// that is not there is none: it may come.
    pub fn start(config: &config::Telemetry, registry: Registry) -> Result<Self, Error> {
        let catalogue = Catalogue::new(&registry)?;
        let output = output(config)?;
        let exporter = exporter(config, &registry, &catalogue)?;
        let writer =
            Writer::start("access-log", output.clone(), Some(counts(&registry, &catalogue))).map_err(Error::Thread)?;
        let current = Current::new(outputs(config, exporter.as_ref()));
        Ok(Self { registry, catalogue, writer, output, exporter, retired: Vec::new(), current })
    }

    /// Goes over to another configuration: views that are built from now on have its outputs. What has not changed goes on;
    /// an exporter that has is told to send what it has, and ends with its last exchange.
    ///
    /// # Errors
    /// As for [`Telemetry::start`]; everything is as before then.
    pub fn reconfigure(&mut self, config: &config::Telemetry) -> Result<(), Error> {
        let output = output(config)?;
        let wanted = otlp::Settings::of(config);
        if wanted.as_ref() != self.exporter.as_ref().map(Exporter::settings) {
            let exporter = exporter(config, &self.registry, &self.catalogue)?;
            self.retired.extend(std::mem::replace(&mut self.exporter, exporter).map(Exporter::retire));
        }
        self.retired.retain(|exporter| !exporter.is_finished());
        if output != self.output {
            self.writer.redirect(output.clone());
            self.output = output;
        }
        self.current.set(outputs(config, self.exporter.as_ref()));
        Ok(())
    }

    /// One worker's part, for all of its life. Call it once for each worker and move it there.
    pub fn worker(&self) -> WorkerScope {
        let log = LogBuffer::new(self.writer.sender());
        WorkerScope::new(self.registry.shard(), self.catalogue.clone(), self.current.clone(), log)
    }

    /// The metrics there are.
    pub const fn registry(&self) -> &Registry {
        &self.registry
    }

    /// Opens the access log's file anew, after it was moved away.
    pub fn reopen(&self) {
        self.writer.reopen();
    }

    /// How what is configured now fares, from now on too.
    pub fn health(&self) -> Health {
        Health {
            log: self.current.get().log.is_some().then(|| self.writer.watch()),
            collector: self.exporter.as_ref().map(Exporter::watches),
        }
    }

    /// Sends and writes what is left, within [`SHUTDOWN`]. Blocks; call it when the workers have ended. What does not get out
    /// in time is counted as dropped.
    pub fn shutdown(self) {
        let deadline = Instant::now() + SHUTDOWN;
        // The log first, so that the last push of metrics knows its counts; it needs milliseconds where its reader is alive.
        self.writer.shutdown(Duration::from_secs(1));
        let exporter = self.exporter.map(|exporter| exporter.finish(deadline));
        self.retired.iter().for_each(|exporter| exporter.finish(deadline));
        for exporter in exporter.into_iter().chain(self.retired) {
            exporter.join(deadline);
        }
    }
}

// === impl Health ===

impl Health {
    /// Whether the access log is written, or what is wrong; `None` where there is none.
    pub fn access_log(&self) -> Option<Result<(), String>> {
        self.log.as_ref().map(|watch| match watch.outage() {
            None => Ok(()),
            Some(outage) => Err(format!("not written {outage}; {} lines dropped since", outage.lost)),
        })
    }

    /// Whether spans and metrics reach the collector, or what is wrong; `None` where there is none.
    pub fn collector(&self) -> Option<Result<(), String>> {
        self.collector.as_ref().map(|[spans, metrics]| {
            let spans = spans
                .outage()
                .map(|outage| format!("spans do not arrive {outage}; {} spans dropped since", outage.lost));
            let metrics = metrics.outage().map(|outage| format!("metrics do not arrive {outage}"));
            let wrong: Vec<String> = spans.into_iter().chain(metrics).collect();
            if wrong.is_empty() { Ok(()) } else { Err(wrong.join("; ")) }
        })
    }
}

/// A file is opened once here, so that a wrong path is an error of the configuration and not of some later line.
fn output(config: &config::Telemetry) -> Result<Output, Error> {
    let output = config.access_log.as_ref().map_or(Output::Stdout, |log| Output::from(&log.output));
    open(&output)?;
    Ok(output)
}

fn open(output: &Output) -> Result<(), Error> {
    if let Output::File(path) = output {
        output.open().map_err(|source| Error::AccessLog { path: path.display().to_string(), source })?;
    }
    Ok(())
}

fn exporter(config: &config::Telemetry, registry: &Registry, catalogue: &Catalogue) -> Result<Option<Exporter>, Error> {
    otlp::Settings::of(config).map(|settings| Exporter::start(settings, registry, catalogue)).transpose()
}

fn outputs(config: &config::Telemetry, exporter: Option<&Exporter>) -> Outputs {
    Outputs {
        sampler: Sampler::new(&config.traces),
        log: config.access_log.as_ref().map(|log| AccessLog::new(log, &config.service.name)),
        spans: exporter.map(|exporter| Arc::clone(exporter.queue())),
    }
}

fn counts(registry: &Registry, catalogue: &Catalogue) -> Counts {
    let count = |labels: [&str; 2]| registry.shared().counter(&catalogue.runtime.telemetry_log_lines, &labels);
    Counts {
        exported: count(["exported", ""]),
        queue_full: count(["dropped", "queue_full"]),
        write_failed: count(["dropped", "write_failed"]),
        shutdown: count(["dropped", "shutdown"]),
    }
}

#[cfg(test)]
mod tests;
