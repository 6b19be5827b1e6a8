//! The HTTP client that carries OTLP over HTTP/1.1: one connection, kept while it lives.
//! It knows neither spans nor metrics, and does not try again.

use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use http::header::{HOST, HeaderName, HeaderValue};
use http::uri::Scheme;
use http::{Request, Response, Uri};
use http_body_util::{BodyExt as _, Full, Limited};
use hyper::client::conn::http1::{self, SendRequest};
use hyper_util::rt::TokioIo;
use opentelemetry_http::{HttpClient, HttpError};
use rustls::pki_types::ServerName;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;

/// A client for one collector. Clones share the connection.
#[derive(Clone)]
pub(super) struct Client {
    inner: Arc<Inner>,
}

struct Inner {
    tls: Option<TlsConnector>,
    headers: Vec<(HeaderName, HeaderValue)>,
    timeout: Duration,
    idle: Mutex<Option<SendRequest<Full<Bytes>>>>,
}

/// The longest answer that is read, in bytes: OTLP's answers are a few.
const MAX_ANSWER: usize = 1024 * 1024;

// === impl Client ===

impl Client {
    /// For a collector behind this address; `timeout` is for one request and its answer.
    pub(super) fn new(
        endpoint: &Uri,
        headers: Vec<(HeaderName, HeaderValue)>,
        timeout: Duration,
    ) -> Result<Self, rustls::Error> {
        let secure = endpoint.scheme() == Some(&Scheme::HTTPS);
        let tls = if secure { Some(TlsConnector::from(super::tls::http1()?)) } else { None };
        Ok(Self { inner: Arc::new(Inner { tls, headers, timeout, idle: Mutex::default() }) })
    }

    /// Sends a request and reads the whole answer.
    pub(super) async fn send(&self, mut request: Request<Bytes>) -> Result<Response<Bytes>, HttpError> {
        let uri = request.uri().clone();
        let authority = uri.authority().ok_or("the endpoint has no host")?;
        request.headers_mut().insert(HOST, HeaderValue::from_str(authority.as_str())?);
        for (name, value) in &self.inner.headers {
            request.headers_mut().insert(name, value.clone());
        }
        *request.uri_mut() = uri.path_and_query().map_or("/", |path| path.as_str()).parse()?;
        let request = request.map(Full::new);
        tokio::time::timeout(self.inner.timeout, self.exchange(&uri, request)).await?
    }

    async fn exchange(&self, uri: &Uri, request: Request<Full<Bytes>>) -> Result<Response<Bytes>, HttpError> {
        let idle = self.inner.idle.lock().unwrap_or_else(PoisonError::into_inner).take();
        let alive = match idle {
            Some(mut connection) => connection.ready().await.is_ok().then_some(connection),
            None => None,
        };
        let mut connection = match alive {
            Some(connection) => connection,
            None => self.connect(uri).await?,
        };
        let (parts, body) = connection.send_request(request).await?.into_parts();
        let body = Limited::new(body, MAX_ANSWER).collect().await?.to_bytes();
        *self.inner.idle.lock().unwrap_or_else(PoisonError::into_inner) = Some(connection);
        Ok(Response::from_parts(parts, body))
    }

    async fn connect(&self, uri: &Uri) -> Result<SendRequest<Full<Bytes>>, HttpError> {
        let host = uri.host().ok_or("the endpoint has no host")?;
        let bare = host.trim_start_matches('[').trim_end_matches(']').to_owned();
        let port = uri.port_u16().unwrap_or(if self.inner.tls.is_some() { 443 } else { 80 });
        let stream = TcpStream::connect((bare.as_str(), port)).await?;
        stream.set_nodelay(true)?;
        match &self.inner.tls {
            Some(tls) => shake_hands(tls.connect(ServerName::try_from(bare)?, stream).await?).await,
            None => shake_hands(stream).await,
        }
    }
}

async fn shake_hands(
    stream: impl AsyncRead + AsyncWrite + Send + Unpin + 'static,
) -> Result<SendRequest<Full<Bytes>>, HttpError> {
    let (sender, connection) = http1::handshake(TokioIo::new(stream)).await?;
    // Ends with the sender; its error is that of the request under way.
    tokio::spawn(async move { _ = connection.await });
    Ok(sender)
}

impl fmt::Debug for Client {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Client").finish_non_exhaustive()
    }
}

/// Written out: what the macro of the trait's crate would make.
impl HttpClient for Client {
    fn send_bytes<'a, 'b>(
        &'a self,
        request: Request<Bytes>,
    ) -> Pin<Box<dyn Future<Output = Result<Response<Bytes>, HttpError>> + Send + 'b>>
    where
        'a: 'b,
        Self: 'b,
    {
        Box::pin(self.send(request))
    }
}
