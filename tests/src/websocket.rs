//! A WebSocket client.
//! It knows nothing of what it talks to.

use std::fmt;
use std::net::SocketAddr;
use std::sync::Arc;

use futures_util::{SinkExt, StreamExt};
use http::HeaderMap;
use rustls::ClientConfig;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::client::IntoClientRequest;
use tokio_tungstenite::tungstenite::protocol::{CloseFrame, Message};

trait Io: AsyncRead + AsyncWrite + Unpin {}

impl<T: AsyncRead + AsyncWrite + Unpin> Io for T {}

/// An open WebSocket.
pub struct WebSocket {
    stream: WebSocketStream<Box<dyn Io>>,
    /// The headers of the 101.
    pub headers: HeaderMap,
}

/// Opens a WebSocket, with more headers where given; the status where the server does not answer 101.
pub async fn websocket(address: SocketAddr, path: &str, headers: &[(&'static str, &str)]) -> Result<WebSocket, u16> {
    let mut request = format!("ws://{address}{path}").into_client_request().unwrap();
    for (name, value) in headers {
        request.headers_mut().insert(*name, value.parse().unwrap());
    }
    open(request, Box::new(TcpStream::connect(address).await.unwrap())).await
}

/// Opens a WebSocket over TLS, to the server `name`.
pub async fn websocket_over_tls(address: SocketAddr, name: &str, config: Arc<ClientConfig>) -> Result<WebSocket, u16> {
    let stream = TcpStream::connect(address).await.unwrap();
    let stream = TlsConnector::from(config).connect(name.to_owned().try_into().unwrap(), stream).await.unwrap();
    let request = format!("wss://{name}/websocket").into_client_request().unwrap();
    open(request, Box::new(stream)).await
}

async fn open(request: http::Request<()>, stream: Box<dyn Io>) -> Result<WebSocket, u16> {
    match tokio_tungstenite::client_async(request, stream).await {
        Ok((stream, response)) => Ok(WebSocket { stream, headers: response.headers().clone() }),
        Err(tokio_tungstenite::tungstenite::Error::Http(response)) => Err(response.status().as_u16()),
        Err(error) => panic!("the handshake failed: {error:?}"),
    }
}

impl fmt::Debug for WebSocket {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("WebSocket").field("headers", &self.headers).finish_non_exhaustive()
    }
}

impl WebSocket {
    /// Sends a text message.
    pub async fn send(&mut self, text: &str) {
        self.stream.send(Message::text(text)).await.unwrap();
    }

    /// Sends a binary message.
    pub async fn send_bytes(&mut self, bytes: Vec<u8>) {
        self.stream.send(Message::binary(bytes)).await.unwrap();
    }

    /// The next message's bytes; `None` when the other side closed or the connection ended.
    pub async fn next(&mut self) -> Option<Vec<u8>> {
        loop {
            match self.stream.next().await? {
                Ok(Message::Close(_)) | Err(_) => return None,
                Ok(message) if message.is_text() || message.is_binary() => return Some(message.into_data().to_vec()),
                Ok(_) => {}
            }
        }
    }

    /// Closes with a code, and gives the code that comes back.
    pub async fn close(mut self, code: u16) -> Option<u16> {
        let frame = CloseFrame { code: code.into(), reason: "done".into() };
        self.stream.close(Some(frame)).await.ok()?;
        while let Some(Ok(message)) = self.stream.next().await {
            if let Message::Close(frame) = message {
                return frame.map(|frame| frame.code.into());
            }
        }
        None
    }
}
