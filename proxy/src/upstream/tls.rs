//! TLS towards an upstream: whom we trust and which protocol we ask for.
//! It opens no connection.

use std::hash::{DefaultHasher, Hash, Hasher};
use std::sync::Arc;

use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::client::{WebPkiServerVerifier, verify_server_name};
use rustls::crypto::{CryptoProvider, verify_tls12_signature, verify_tls13_signature};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::server::ParsedCertificate;
use rustls::{CertificateError, ClientConfig, DigitallySignedStruct, OtherError, RootCertStore, SignatureScheme};

use super::Error;
use super::config::{Protocol, Tls};

/// How an upstream's connections speak TLS.
#[derive(Debug)]
pub struct Client {
    pub(super) config: Arc<ClientConfig>,
    /// Differs where whom we trust differs.
    pub(super) identity: u64,
}

/// Believes the authorities, as everybody does, and whoever shows one of their certificates as its own: so are self-signed ones made
/// (`openssl req -x509`), and so are they trusted elsewhere.
#[derive(Debug)]
struct OrItself {
    authorities: Arc<WebPkiServerVerifier>,
    certificates: Vec<CertificateDer<'static>>,
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
            let (authorities, certificates) = authorities(tls)?;
            for anchor in &authorities.roots {
                anchor.subject.as_ref().hash(&mut identity);
                anchor.subject_public_key_info.as_ref().hash(&mut identity);
            }
            certificates.hash(&mut identity);
            let authorities = WebPkiServerVerifier::builder_with_provider(authorities.into(), provider)
                .build()
                .map_err(|error| rustls::Error::General(error.to_string()))?;
            builder
                .dangerous()
                .with_custom_certificate_verifier(Arc::new(OrItself { authorities, certificates }))
                .with_no_client_auth()
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

/// Whom to trust; and their certificates, where a file names them.
fn authorities(tls: &Tls) -> Result<(RootCertStore, Vec<CertificateDer<'static>>), Error> {
    let mut store = RootCertStore::empty();
    let Some(path) = &tls.ca else {
        // What cannot be read or parsed of the system's store is left out, as every client does.
        store.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
        return if store.is_empty() { Err(Error::NoSystemAuthorities) } else { Ok((store, Vec::new())) };
    };
    let text = std::fs::read(path).map_err(|source| Error::ReadAuthorities { path: path.clone(), source })?;
    let mut certificates = Vec::new();
    for certificate in CertificateDer::pem_slice_iter(&text) {
        let certificate = certificate.map_err(|error| Error::ReadAuthorities {
            path: path.clone(),
            source: std::io::Error::new(std::io::ErrorKind::InvalidData, error),
        })?;
        store.add(certificate.clone()).map_err(|source| Error::BadAuthority { path: path.clone(), source })?;
        certificates.push(certificate);
    }
    if store.is_empty() { Err(Error::NoAuthorities { path: path.clone() }) } else { Ok((store, certificates)) }
}

// === impl OrItself ===

impl ServerCertVerifier for OrItself {
    fn verify_server_cert(
        &self,
        own: &CertificateDer<'_>,
        between: &[CertificateDer<'_>],
        name: &ServerName<'_>,
        stapled: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        let error = match self.authorities.verify_server_cert(own, between, name, stapled, now) {
            Err(error) if is_authority(&error) && self.certificates.contains(own) => error,
            verified => return verified,
        };
        // Its time was looked at before that error; its name is, now.
        let own = ParsedCertificate::try_from(own).map_err(|_| error)?;
        verify_server_name(&own, name)?;
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        self.authorities.verify_tls12_signature(message, certificate, signed)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        self.authorities.verify_tls13_signature(message, certificate, signed)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.authorities.supported_verify_schemes()
    }
}

/// Whether a certificate was refused only for being an authority's.
fn is_authority(error: &rustls::Error) -> bool {
    let rustls::Error::InvalidCertificate(CertificateError::Other(OtherError(cause))) = error else { return false };
    matches!(cause.downcast_ref(), Some(webpki::Error::CaUsedAsEndEntity))
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
