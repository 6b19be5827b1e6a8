//! TLS towards clients: certificates by name, versions, protocols, and the handshake.
//! It does not know what is spoken inside.

mod certificates;
#[cfg(test)]
mod tests;

use std::io;
use std::sync::Arc;
use std::time::Duration;

use rustls::ServerConfig;
use rustls::crypto::ring;
use rustls::server::NoServerSessionStorage;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::time::timeout;
use tokio_rustls::TlsAcceptor;
use tokio_rustls::server::TlsStream;

use crate::listen::Error;
use crate::listen::config::Tls;
use crate::listen::tls::certificates::ByName;

/// A client that is not through by then is closed.
const HANDSHAKE_TIMEOUT: Duration = Duration::from_secs(10);
const H2: &[u8] = b"h2";
const HTTP_11: &[u8] = b"http/1.1";

/// A listener's TLS, ready to use, and what its operator should know.
#[derive(Debug)]
pub struct Loaded {
    pub config: Arc<ServerConfig>,
    /// Certificates that have expired or are not valid yet: they are used, since refusing would not help a client.
    pub warnings: Vec<String>,
}

/// What was agreed by ALPN.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Agreed {
    H2,
    Http11,
    /// The client offered nothing.
    Nothing,
}

/// Why a handshake did not come to an end.
#[derive(Debug, thiserror::Error)]
pub enum HandshakeError {
    #[error("handshake took longer than 10 s")]
    Timeout,
    #[error("handshake failed: {0}")]
    Failed(#[source] io::Error),
}

/// Reads and checks the certificates: TLS 1.2 and 1.3 with rustls's suites, which are Mozilla's intermediate profile.
///
/// # Errors
/// What file is at fault, and why.
pub fn server_config(tls: &Tls) -> Result<Loaded, Error> {
    let provider = Arc::new(ring::default_provider());
    let (names, warnings) = ByName::load(&tls.certificates, &provider)?;
    let mut config = ServerConfig::builder_with_provider(provider)
        .with_protocol_versions(&[&rustls::version::TLS13, &rustls::version::TLS12])
        .map_err(Error::Tls)?
        .with_no_client_auth()
        .with_cert_resolver(Arc::new(names));
    config.alpn_protocols = vec![H2.to_vec(), HTTP_11.to_vec()];
    // A session is resumed from the client's ticket, on whatever worker it comes to; nothing is kept here.
    config.session_storage = Arc::new(NoServerSessionStorage {});
    config.ticketer = ring::Ticketer::new().map_err(Error::Tls)?;
    Ok(Loaded { config: Arc::new(config), warnings })
}

/// Takes a client through the handshake.
///
/// # Errors
/// [`HandshakeError`]; there is nobody to answer.
pub async fn handshake<IO>(config: &Arc<ServerConfig>, io: IO) -> Result<(TlsStream<IO>, Agreed), HandshakeError>
where
    IO: AsyncRead + AsyncWrite + Unpin,
{
    let handshake = TlsAcceptor::from(Arc::clone(config)).accept(io);
    let stream = timeout(HANDSHAKE_TIMEOUT, handshake)
        .await
        .map_err(|_| HandshakeError::Timeout)?
        .map_err(HandshakeError::Failed)?;
    let agreed = match stream.get_ref().1.alpn_protocol() {
        Some(H2) => Agreed::H2,
        Some(_) => Agreed::Http11,
        None => Agreed::Nothing,
    };
    Ok((stream, agreed))
}
