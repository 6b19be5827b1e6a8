//! Whom the exporter trusts: the certificate authorities of the system, or of `SSL_CERT_FILE`.
//! It opens no connection.

use std::sync::Arc;

use rustls::{ClientConfig, RootCertStore};

/// The authorities; what cannot be read is left out.
pub(super) fn authorities() -> RootCertStore {
    let mut store = RootCertStore::empty();
    store.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
    store
}

/// For HTTP/1.1.
pub(super) fn http1() -> Result<Arc<ClientConfig>, rustls::Error> {
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let mut config = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()?
        .with_root_certificates(authorities())
        .with_no_client_auth();
    config.alpn_protocols = vec![b"http/1.1".to_vec()];
    Ok(Arc::new(config))
}
