//! Checks `telemetry`.
//! It reaches no collector and opens no log.

use std::net::SocketAddr;

use super::names::Names;
use super::{At, Context};
use crate::config::file::{AccessLogFile, LogFormatFile, MetricsFile, OtlpFile, OtlpProtocolFile, TelemetryFile};
use crate::config::syntax::Output;
use crate::telemetry::access_log::is_reserved_field;
use crate::telemetry::config::{
    AccessLog, LogFormat, LogOutput, Metrics, Otlp, OtlpProtocol, Scrape, Service, Telemetry, Traces,
};

pub(super) fn check(
    file: TelemetryFile,
    admin: Option<SocketAddr>,
    listeners: &Names,
    at: At<'_>,
    context: &mut Context<'_>,
) -> Telemetry {
    if file.otlp.is_none() && file.metrics.otlp == Some(true) && !at.pruned() {
        let help = "say where to push to: `telemetry.otlp.endpoint`";
        context.error(at.key("metrics").key("otlp"), "metrics over OTLP without `telemetry.otlp`", help);
    }
    let has_otlp = file.otlp.is_some();
    let attributes = file.service.attributes.0.into_iter().map(|(key, value)| (key.into(), value.into()));
    Telemetry {
        service: Service {
            name: file.service.name.into(),
            namespace: file.service.namespace.map(Into::into),
            attributes: attributes.collect(),
        },
        otlp: file.otlp.map(otlp),
        traces: Traces {
            ratio: file.traces.ratio,
            parent_based: file.traces.parent_based,
            always_errors: file.traces.always.errors,
            always_slower_than: file.traces.always.slower_than.map(|time| time.0.0),
            queue: usize::try_from(file.traces.queue).unwrap_or(usize::MAX),
            interval: file.traces.interval.0.0,
        },
        metrics: metrics(file.metrics, has_otlp, admin, listeners, at.key("metrics"), context),
        access_log: access_log(file.access_log, at.key("access_log"), context),
    }
}

fn otlp(file: OtlpFile) -> Otlp {
    let header = |(name, value): (String, crate::config::syntax::Text<crate::config::syntax::Secret>)| {
        let name = http::HeaderName::from_bytes(name.as_bytes()).ok()?;
        (!value.0.0.is_empty()).then_some((name, value.0.0))
    };
    Otlp {
        endpoint: file.endpoint.0,
        protocol: match file.protocol {
            OtlpProtocolFile::Grpc => OtlpProtocol::Grpc,
            OtlpProtocolFile::Http => OtlpProtocol::HttpProtobuf,
        },
        headers: file.headers.0.into_iter().filter_map(header).collect(),
        timeout: file.timeout.0.0,
    }
}

fn metrics(
    file: MetricsFile,
    has_otlp: bool,
    admin: Option<SocketAddr>,
    listeners: &Names,
    at: At<'_>,
    context: &mut Context<'_>,
) -> Metrics {
    let mut scrape: Vec<Scrape> = Vec::new();
    for (index, file) in file.scrape.into_iter().enumerate() {
        let written = at.has("scrape");
        let at = at.key("scrape").item(index);
        let listener = if file.listener == "admin" {
            if admin.is_none() {
                if written {
                    context.error(at.key("listener"), "a scrape at the admin port, which is off", "name a listener");
                }
                continue;
            }
            None
        } else {
            match listeners.find("listener", &file.listener, at.key("listener"), context) {
                Some(index) => Some(index),
                None => continue,
            }
        };
        let new = Scrape { listener, path: file.path.0.0 };
        if scrape.contains(&new) {
            context.error(at, format!("duplicate scrape path `{}`", new.path), "once is enough");
        }
        scrape.push(new);
    }
    Metrics { otlp: file.otlp.unwrap_or(true) && has_otlp, interval: file.interval.0.0, scrape }
}

fn access_log(file: AccessLogFile, at: At<'_>, context: &mut Context<'_>) -> Option<AccessLog> {
    for (key, _) in &file.fields.0 {
        let is_name = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'.' | b'-');
        let (message, help) = if is_reserved_field(key) {
            (format!("`{key}` is a field of the proxy's own"), "take another name")
        } else if key.is_empty() || !key.bytes().all(is_name) {
            (format!("`{key}` is no name of a field"), "it is made of letters, digits, `_`, `.` and `-`")
        } else {
            continue;
        };
        context.error_at_key(at.key("fields").key(key), message, help);
    }
    let output = match file.output.0 {
        Output::Off => return None,
        Output::Stdout => LogOutput::Stdout,
        Output::File(path) => LogOutput::File(context.path(&path)),
    };
    Some(AccessLog {
        format: match file.format {
            LogFormatFile::Json => LogFormat::Json,
            LogFormatFile::Logfmt => LogFormat::Logfmt,
            LogFormatFile::Text => LogFormat::Text,
        },
        output,
        include: file.include.into_iter().map(|include| include.0).collect(),
        fields: file.fields.0.into_iter().map(|(key, value)| (key.into(), value.into())).collect(),
        redact_query: file.redact_query.into_iter().map(Into::into).collect(),
    })
}
