//! The metrics of the process, its workers, its configuration and its own telemetry.
//! It reads none of these facts itself.

use super::metrics;

/// Seconds. A loop that is not blocked comes round within 100 us; 10 ms more than a plugin's deadline is the longest that
/// anything may hold a worker, so the bounds are dense up to 25 ms, and what is above is a fault to look for.
const DELAY: &[f64] = &[100e-6, 250e-6, 500e-6, 1e-3, 2.5e-3, 5e-3, 10e-3, 25e-3, 50e-3, 100e-3, 500e-3];

metrics! {
    /// The process and its telemetry.
    Runtime {
        /// Which Tidegate this is; always 1.
        build_info: Gauge "tidegate.build_info", "", {
            "version": "of Tidegate",
            "target": "operating system and architecture",
        };
        /// Threads that carry requests.
        workers: Gauge "tidegate.workers", "{worker}", {};
        /// Share of the last seconds in which a worker was not waiting.
        worker_busy: Gauge "tidegate.worker.busy", "1", { "worker": "0 to the number of workers less one" };
        /// How much later than asked a worker's timer fired: what a request that arrives now may have to wait.
        worker_loop_delay: Histogram "tidegate.worker.loop.delay", "s" [DELAY], {};
        /// Whether the last attempt to load the configuration succeeded.
        config_last_reload_successful: Gauge "tidegate.config.last_reload.successful", "", {};
        /// When the configuration in force was loaded, since the Unix epoch.
        config_last_reload_timestamp: Gauge "tidegate.config.last_reload.timestamp", "s", {};
        /// Attempts to load the configuration, the first one included.
        config_reloads: Counter "tidegate.config.reloads", "{reload}", { "result": "`success`, `failure`" };
        /// Which version of the configuration is in force, counted from 1.
        config_version: Gauge "tidegate.config.version", "", {};
        /// Spans that left for the collector, or did not.
        telemetry_spans: Counter "tidegate.telemetry.spans", "{span}", {
            "outcome": "`exported`, `dropped`",
            "reason": "`queue_full`, `timeout`, `rejected`, `unreachable`, `shutdown`; absent where exported",
        };
        /// Access log lines that were written, or were not.
        telemetry_log_lines: Counter "tidegate.telemetry.log_lines", "{line}", {
            "outcome": "`exported`, `dropped`",
            "reason": "`queue_full`, `write_failed`, `shutdown`; absent where exported",
        };
        /// Pushes of metrics to the collector.
        telemetry_metric_exports: Counter "tidegate.telemetry.metric_exports", "{export}", {
            "outcome": "`exported`, `dropped`",
            "reason": "`timeout`, `rejected`, `unreachable`; absent where exported",
        };
        /// Scrapes that were answered.
        telemetry_scrapes: Counter "tidegate.telemetry.scrapes", "{scrape}", { "format": "`text`, `openmetrics`" };
        /// CPU time of the process, user and system.
        process_cpu: Counter "process.cpu", "s", {};
        /// Memory of the process that is in RAM.
        process_resident_memory: Gauge "process.resident_memory", "By", {};
        /// Address space of the process.
        process_virtual_memory: Gauge "process.virtual_memory", "By", {};
        /// Open file descriptors.
        process_open_fds: Gauge "process.open_fds", "{file_descriptor}", {};
        /// How many file descriptors may be open.
        process_max_fds: Gauge "process.max_fds", "{file_descriptor}", {};
        /// When the process began, since the Unix epoch.
        process_start_time: Gauge "process.start_time", "s", {};
        /// Threads of the process.
        process_threads: Gauge "process.threads", "{thread}", {};
    }
}
