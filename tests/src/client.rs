//! Clients that behave: HTTP/1.1 and HTTP/2, in clear and over TLS.
//! It knows nothing of what it talks to.

use std::net::SocketAddr;
use std::sync::Arc;

use bytes::Bytes;
use http::{HeaderMap, Request, Version};
use http_body_util::BodyExt;
use hyper::body::Incoming;
use hyper::client::conn::{http1, http2};
use hyper_util::rt::{TokioExecutor, TokioIo};
use rustls::ClientConfig;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;

use crate::Body;

/// A request to fill in, for the tests' host.
pub fn request(method: &str, path: &str) -> http::request::Builder {
    Request::builder().method(method).uri(path)
}

/// One GET over a connection of its own.
pub async fn get(address: SocketAddr, path: &str) -> Answer {
    Connection::http1(address).await.get(path).await
}

/// One connection to a server.
#[derive(Debug)]
pub struct Connection {
    sender: Sender,
    scheme: &'static str,
    host: String,
}

#[derive(Debug)]
enum Sender {
    Http1(http1::SendRequest<Body>),
    Http2(http2::SendRequest<Body>),
}

/// A response, read to its end.
#[derive(Clone, Debug)]
pub struct Answer {
    pub status: u16,
    pub version: Version,
    pub headers: HeaderMap,
    pub body: Bytes,
    pub trailers: Option<HeaderMap>,
}

/// Without waiting to fill packets: HTTP/2's window updates would come 40 ms late.
async fn connect(address: SocketAddr) -> std::io::Result<TcpStream> {
    let stream = TcpStream::connect(address).await?;
    stream.set_nodelay(true)?;
    Ok(stream)
}

// === impl Connection ===

impl Connection {
    /// HTTP/1.1 in clear.
    pub async fn http1(address: SocketAddr) -> Self {
        Self::over_http1(connect(address).await.unwrap(), "http", address.to_string()).await
    }

    /// HTTP/2 in clear, with prior knowledge.
    pub async fn http2(address: SocketAddr) -> Self {
        Self::over_http2(connect(address).await.unwrap(), "http", address.to_string()).await
    }

    /// TLS for the server `name`; the protocol is what the server chose of those that `config` offers.
    pub async fn tls(address: SocketAddr, name: &str, config: Arc<ClientConfig>) -> std::io::Result<Self> {
        let stream = connect(address).await?;
        let stream = TlsConnector::from(config).connect(name.to_owned().try_into().unwrap(), stream).await?;
        Ok(match stream.get_ref().1.alpn_protocol() {
            Some(b"h2") => Self::over_http2(stream, "https", name.to_owned()).await,
            _ => Self::over_http1(stream, "https", name.to_owned()).await,
        })
    }

    async fn over_http1(
        stream: impl AsyncRead + AsyncWrite + Unpin + Send + 'static,
        scheme: &'static str,
        host: String,
    ) -> Self {
        let (sender, connection) = http1::handshake(TokioIo::new(stream)).await.unwrap();
        tokio::spawn(connection.with_upgrades());
        Self { sender: Sender::Http1(sender), scheme, host }
    }

    async fn over_http2(
        stream: impl AsyncRead + AsyncWrite + Unpin + Send + 'static,
        scheme: &'static str,
        host: String,
    ) -> Self {
        let (sender, connection) = http2::handshake(TokioExecutor::new(), TokioIo::new(stream)).await.unwrap();
        tokio::spawn(connection);
        Self { sender: Sender::Http2(sender), scheme, host }
    }

    /// Whether HTTP/2 is spoken.
    pub fn is_http2(&self) -> bool {
        matches!(self.sender, Sender::Http2(_))
    }

    /// The same HTTP/2 connection once more, for streams side by side.
    pub fn beside(&self) -> Self {
        match &self.sender {
            Sender::Http2(sender) => {
                Self { sender: Sender::Http2(sender.clone()), scheme: self.scheme, host: self.host.clone() }
            }
            Sender::Http1(_) => panic!("HTTP/1.1 has one request at a time"),
        }
    }

    /// A GET, with the answer read to its end.
    pub async fn get(&mut self, path: &str) -> Answer {
        self.send(request("GET", path).body(Body::empty()).unwrap()).await
    }

    /// Sends a request and reads the answer to its end. `Host` is the server's address unless the request has one.
    pub async fn send(&mut self, request: Request<Body>) -> Answer {
        let response = self.begin(request).await.unwrap_or_else(|error| panic!("no answer: {error:?}"));
        Answer::read(response).await.unwrap_or_else(|error| panic!("the body broke: {error:?}"))
    }

    /// Sends a request and gives the answer as soon as its head is there.
    pub async fn begin(&mut self, mut request: Request<Body>) -> hyper::Result<http::Response<Incoming>> {
        match &mut self.sender {
            Sender::Http1(sender) => {
                if !request.headers().contains_key("host") {
                    request.headers_mut().insert("host", self.host.parse().unwrap());
                }
                sender.ready().await?;
                sender.send_request(request).await
            }
            Sender::Http2(sender) => {
                // HTTP/2 has the host in the target.
                let host = request.headers_mut().remove("host");
                let host = host.as_ref().map_or(self.host.as_str(), |host| host.to_str().unwrap());
                let uri = format!("{}://{host}{}", self.scheme, request.uri());
                *request.uri_mut() = uri.parse().unwrap();
                sender.ready().await?;
                sender.send_request(request).await
            }
        }
    }

    /// Whether the server has closed this connection, or will not take another request on it.
    pub fn is_closed(&self) -> bool {
        match &self.sender {
            Sender::Http1(sender) => sender.is_closed(),
            Sender::Http2(sender) => sender.is_closed(),
        }
    }
}

// === impl Answer ===

impl Answer {
    /// Reads a response to its end.
    pub async fn read(response: http::Response<Incoming>) -> hyper::Result<Self> {
        let (head, body) = response.into_parts();
        let body = body.collect().await?;
        let trailers = body.trailers().cloned();
        Ok(Self {
            status: head.status.as_u16(),
            version: head.version,
            headers: head.headers,
            body: body.to_bytes(),
            trailers,
        })
    }

    /// The first value of a header, or an empty string.
    pub fn header(&self, name: &str) -> &str {
        self.headers.get(name).map_or("", |value| value.to_str().unwrap())
    }

    /// The body as text.
    pub fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }

    /// The body as JSON.
    #[track_caller]
    pub fn json(&self) -> serde_json::Value {
        serde_json::from_slice(&self.body).unwrap_or_else(|error| panic!("{error}: {}", self.text()))
    }

    /// The reason that the proxy gave for an answer of its own; an empty string for an answer of the origin.
    pub fn reason(&self) -> String {
        if self.header("content-type") != "application/problem+json" {
            return String::new();
        }
        self.json()["reason"].as_str().unwrap_or_default().to_owned()
    }
}
