//! TLS towards an upstream: whom we trust and which protocol we ask for.
//! It opens no connection.

use std::hash::{DefaultHasher, Hash, Hasher};
use std::sync::Arc;

use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::{CryptoProvider, verify_tls12_signature, verify_tls13_signature};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::{ClientConfig, DigitallySignedStruct, RootCertStore, SignatureScheme};

use super::Error;
use super::config::{Protocol, Tls};

/// How an upstream's connections speak TLS.
#[derive(Debug)]
pub struct Client {
    pub(super) config: Arc<ClientConfig>,
    /// Differs where whom we trust differs.
    pub(super) identity: u64,
}

/// For `verify: false`: any certificate will do, but whoever shows it must hold its key.
#[derive(Debug)]
struct AnyCertificate(Arc<CryptoProvider>);

// === impl Client ===

impl Client {
    /// Reads whom to trust.
    ///
    /// # Errors
    /// Where there is nobody to trust, or the file cannot be read.
    pub fn new(tls: &Tls, protocol: Protocol) -> Result<Self, Error> {
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let builder = ClientConfig::builder_with_provider(provider.clone()).with_safe_default_protocol_versions()?;
        let mut identity = DefaultHasher::new();
        let mut config = if tls.verify {
            let authorities = authorities(tls)?;
            for anchor in &authorities.roots {
                anchor.subject.as_ref().hash(&mut identity);
                anchor.subject_public_key_info.as_ref().hash(&mut identity);
            }
            builder.with_root_certificates(authorities).with_no_client_auth()
        } else {
            builder
                .dangerous()
                .with_custom_certificate_verifier(Arc::new(AnyCertificate(provider)))
                .with_no_client_auth()
        };
        tls.verify.hash(&mut identity);
        config.alpn_protocols = match protocol {
            Protocol::Http1 => vec![b"http/1.1".to_vec()],
            Protocol::Http2 => vec![b"h2".to_vec()],
        };
        Ok(Self { config: Arc::new(config), identity: identity.finish() })
    }
}

fn authorities(tls: &Tls) -> Result<RootCertStore, Error> {
    let mut store = RootCertStore::empty();
    let Some(path) = &tls.ca else {
        // What cannot be read or parsed of the system's store is left out, as every client does.
        store.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
        return if store.is_empty() { Err(Error::NoSystemAuthorities) } else { Ok(store) };
    };
    let text = std::fs::read(path).map_err(|source| Error::ReadAuthorities { path: path.clone(), source })?;
    for certificate in CertificateDer::pem_slice_iter(&text) {
        let certificate = certificate.map_err(|error| Error::ReadAuthorities {
            path: path.clone(),
            source: std::io::Error::new(std::io::ErrorKind::InvalidData, error),
        })?;
        store.add(certificate).map_err(|source| Error::BadAuthority { path: path.clone(), source })?;
    }
    if store.is_empty() { Err(Error::NoAuthorities { path: path.clone() }) } else { Ok(store) }
}

// === impl AnyCertificate ===

impl ServerCertVerifier for AnyCertificate {
    fn verify_server_cert(
        &self,
        _: &CertificateDer<'_>,
        _: &[CertificateDer<'_>],
        _: &ServerName<'_>,
        _: &[u8],
        _: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        verify_tls12_signature(message, certificate, signed, &self.0.signature_verification_algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        verify_tls13_signature(message, certificate, signed, &self.0.signature_verification_algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.0.signature_verification_algorithms.supported_schemes()
    }
}
