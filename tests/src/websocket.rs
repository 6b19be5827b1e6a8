//! A WebSocket client.
//! It knows nothing of what it talks to.

use std::net::SocketAddr;

use futures_util::{SinkExt, StreamExt};
use http::HeaderMap;
use tokio::net::TcpStream;
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::client::IntoClientRequest;
use tokio_tungstenite::tungstenite::protocol::{CloseFrame, Message};

/// An open WebSocket.
#[derive(Debug)]
pub struct WebSocket {
    stream: WebSocketStream<TcpStream>,
    /// The headers of the 101.
    pub headers: HeaderMap,
}

/// Opens a WebSocket, with more headers where given; the status where the server does not answer 101.
pub async fn websocket(address: SocketAddr, path: &str, headers: &[(&'static str, &str)]) -> Result<WebSocket, u16> {
    let mut request = format!("ws://{address}{path}").into_client_request().unwrap();
    for (name, value) in headers {
        request.headers_mut().insert(*name, value.parse().unwrap());
    }
    let stream = TcpStream::connect(address).await.unwrap();
    match tokio_tungstenite::client_async(request, stream).await {
        Ok((stream, response)) => Ok(WebSocket { stream, headers: response.headers().clone() }),
        Err(tokio_tungstenite::tungstenite::Error::Http(response)) => Err(response.status().as_u16()),
        Err(error) => panic!("the handshake failed: {error:?}"),
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
