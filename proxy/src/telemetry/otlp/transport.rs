//! How OTLP travels: over gRPC, or as protobuf over HTTP/1.1.
//! It gathers nothing and counts nothing.

use std::fmt::Display;

use bytes::Bytes;
use http::header::CONTENT_TYPE;
use http::uri::Scheme;
use http::{HeaderMap, Request, Uri};
use opentelemetry::KeyValue;
use opentelemetry_otlp::{Protocol, SpanExporter, WithExportConfig as _, WithHttpConfig as _, WithTonicConfig as _};
use opentelemetry_proto::tonic::collector::metrics::v1::ExportMetricsServiceRequest;
use opentelemetry_proto::tonic::collector::metrics::v1::metrics_service_client::MetricsServiceClient;
use opentelemetry_sdk::Resource;
use opentelemetry_sdk::trace::SpanExporter as _;
use prost::Message as _;
use tonic::metadata::MetadataMap;
use tonic::transport::{Channel, ClientTlsConfig, Endpoint};

use super::http::Client;
use super::{Failure, Settings, tls};
use crate::telemetry::Error;
use crate::telemetry::config::OtlpProtocol;

/// Both ways to the collector.
pub(super) struct Transport {
    pub spans: SpanExporter,
    pub metrics: MetricSender,
}

/// The way of the metrics: OpenTelemetry's exporter takes only what its own SDK measured.
pub(super) enum MetricSender {
    Grpc { client: MetricsServiceClient<Channel>, metadata: MetadataMap },
    Http { client: Client, uri: Uri },
}

// === impl Transport ===

impl Transport {
    /// Must be called on the exporter's runtime. Connects to nothing yet.
    pub(super) fn new(settings: &Settings) -> Result<Self, Error> {
        let mut transport = match settings.otlp.protocol {
            OtlpProtocol::Grpc => Self::grpc(settings),
            OtlpProtocol::HttpProtobuf => Self::http(settings),
        }
        .map_err(|problem| Error::Endpoint { endpoint: settings.otlp.endpoint.to_string(), problem })?;
        let attributes = settings.resource.iter().map(|(key, value)| KeyValue::new(key.to_string(), value.to_string()));
        transport.spans.set_resource(&Resource::builder_empty().with_attributes(attributes).build());
        Ok(transport)
    }

    fn grpc(settings: &Settings) -> Result<Self, String> {
        let otlp = &settings.otlp;
        let mut endpoint = Endpoint::from(otlp.endpoint.clone()).connect_timeout(otlp.timeout).timeout(otlp.timeout);
        if otlp.endpoint.scheme() == Some(&Scheme::HTTPS) {
            let trusted = ClientTlsConfig::new().trust_anchors(tls::authorities().roots);
            endpoint = endpoint.tls_config(trusted).map_err(text)?;
        }
        let channel = endpoint.connect_lazy();
        let metadata = MetadataMap::from_headers(otlp.headers.iter().cloned().collect::<HeaderMap>());
        let spans = SpanExporter::builder()
            .with_tonic()
            .with_channel(channel.clone())
            .with_metadata(metadata.clone())
            .with_timeout(otlp.timeout)
            .build()
            .map_err(text)?;
        Ok(Self { spans, metrics: MetricSender::Grpc { client: MetricsServiceClient::new(channel), metadata } })
    }

    fn http(settings: &Settings) -> Result<Self, String> {
        let otlp = &settings.otlp;
        let base = otlp.endpoint.to_string();
        let base = base.trim_end_matches('/');
        let client = || Client::new(&otlp.endpoint, otlp.headers.clone(), otlp.timeout).map_err(text);
        let spans = SpanExporter::builder()
            .with_http()
            // A connection of its own, so that spans and metrics do not wait for each other.
            .with_http_client(client()?)
            .with_protocol(Protocol::HttpBinary)
            .with_endpoint(format!("{base}/v1/traces"))
            .with_timeout(otlp.timeout)
            .build()
            .map_err(text)?;
        let uri = format!("{base}/v1/metrics").parse().map_err(text)?;
        Ok(Self { spans, metrics: MetricSender::Http { client: client()?, uri } })
    }
}

// === impl MetricSender ===

impl MetricSender {
    /// Sends one request, once: the next push carries the same sums.
    pub(super) async fn send(&self, request: ExportMetricsServiceRequest) -> Result<(), Failure> {
        match self {
            Self::Grpc { client, metadata } => {
                let mut request = tonic::Request::new(request);
                *request.metadata_mut() = metadata.clone();
                client.clone().export(request).await.map(drop).map_err(|status| match status.code() {
                    tonic::Code::Unavailable => Failure::Unreachable,
                    tonic::Code::DeadlineExceeded | tonic::Code::Cancelled => Failure::Timeout,
                    _ => Failure::Rejected,
                })
            }
            Self::Http { client, uri } => {
                let request = Request::post(uri.clone())
                    .header(CONTENT_TYPE, "application/x-protobuf")
                    .body(Bytes::from(request.encode_to_vec()))
                    .map_err(|_| Failure::Rejected)?;
                match client.send(request).await {
                    Ok(answer) if answer.status().is_success() => Ok(()),
                    Ok(_) => Err(Failure::Rejected),
                    Err(error) if error.is::<tokio::time::error::Elapsed>() => Err(Failure::Timeout),
                    Err(_) => Err(Failure::Unreachable),
                }
            }
        }
    }
}

fn text(error: impl Display) -> String {
    error.to_string()
}
