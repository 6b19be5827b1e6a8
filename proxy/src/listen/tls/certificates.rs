//! The certificates of a listener, found by the name that a client asks for.
//! It does not know the handshake's other parts.

use std::collections::HashMap;
use std::path::Path;
use std::sync::Arc;

use rustls::crypto::CryptoProvider;
use rustls::server::{ClientHello, ResolvesServerCert};
use rustls::sign::CertifiedKey;
use rustls_pki_types::pem::{self, PemObject};
use rustls_pki_types::{CertificateDer, PrivateKeyDer, UnixTime};
use webpki::{EndEntityCert, KeyUsage};

use crate::listen::Error;
use crate::listen::config::Certificate;

/// Chooses by name: exact, then wildcard, then the first certificate.
#[derive(Debug)]
pub(super) struct ByName {
    exact: HashMap<Box<str>, Arc<CertifiedKey>>,
    /// `*.example.com` under `example.com`.
    wildcard: HashMap<Box<str>, Arc<CertifiedKey>>,
    first: Arc<CertifiedKey>,
}

// === impl ByName ===

impl ByName {
    pub(super) fn load(certificates: &[Certificate], provider: &CryptoProvider) -> Result<(Self, Vec<String>), Error> {
        let (mut exact, mut wildcard, mut first) = (HashMap::new(), HashMap::new(), None);
        let mut warnings = Vec::new();
        for files in certificates {
            let (certified, names) = load_one(files, provider, &mut warnings)?;
            for name in names {
                // Where two certificates have the same name, the one that stands first is used.
                let (map, name) = match name.strip_prefix("*.") {
                    Some(parent) => (&mut wildcard, Box::from(parent)),
                    None => (&mut exact, name),
                };
                map.entry(name).or_insert_with(|| Arc::clone(&certified));
            }
            first.get_or_insert(certified);
        }
        let first = first.ok_or(Error::NoCertificate)?;
        Ok((Self { exact, wildcard, first }, warnings))
    }

    fn find(&self, name: &str) -> Option<&Arc<CertifiedKey>> {
        let name = name.to_ascii_lowercase();
        self.exact.get(&*name).or_else(|| self.wildcard.get(name.split_once('.')?.1))
    }
}

impl ResolvesServerCert for ByName {
    fn resolve(&self, hello: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        let named = hello.server_name().and_then(|name| self.find(name));
        Some(Arc::clone(named.unwrap_or(&self.first)))
    }
}

/// One certificate with its key, and its names in lower case.
fn load_one(
    files: &Certificate,
    provider: &CryptoProvider,
    warnings: &mut Vec<String>,
) -> Result<(Arc<CertifiedKey>, Vec<Box<str>>), Error> {
    let problem = |path: &Path, problem: String| Error::Certificate { path: path.to_owned(), problem };
    let chain: Vec<CertificateDer<'static>> = CertificateDer::pem_slice_iter(&read(&files.certificate)?)
        .collect::<Result<_, _>>()
        .map_err(|error| problem(&files.certificate, format!("not a PEM file: {}", describe(&error))))?;
    let Some(leaf) = chain.first().cloned() else {
        return Err(problem(&files.certificate, "no certificate in it; it must be PEM (BEGIN CERTIFICATE)".into()));
    };
    let key = PrivateKeyDer::from_pem_slice(&read(&files.key)?).map_err(|error| match error {
        pem::Error::NoItemsFound => {
            problem(&files.key, "no private key in it; it must be PEM (BEGIN PRIVATE KEY) and not encrypted".into())
        }
        error => problem(&files.key, format!("not a PEM file: {}", describe(&error))),
    })?;
    let key = provider
        .key_provider
        .load_private_key(key)
        .map_err(|error| problem(&files.key, format!("cannot use the key: {error}")))?;
    let parsed = EndEntityCert::try_from(&leaf)
        .map_err(|error| problem(&files.certificate, format!("not a valid certificate: {error}")))?;
    let names = parsed.valid_dns_names().map(|name| name.to_ascii_lowercase().into_boxed_str()).collect();
    if let Some(text) = out_of_time(&parsed) {
        warnings.push(format!("{}: {text}", files.certificate.display()));
    }
    let certified = CertifiedKey::new(chain, key);
    match certified.keys_match() {
        // A key that cannot say what its public half is can still sign.
        Ok(()) | Err(rustls::Error::InconsistentKeys(rustls::InconsistentKeys::Unknown)) => {}
        Err(_) => {
            return Err(Error::KeyMismatch { certificate: files.certificate.clone(), key: files.key.clone() });
        }
    }
    Ok((Arc::new(certified), names))
}

fn read(path: &Path) -> Result<Vec<u8>, Error> {
    std::fs::read(path).map_err(|cause| Error::Read { path: path.to_owned(), cause })
}

fn describe(error: &pem::Error) -> String {
    match error {
        pem::Error::MissingSectionEnd { .. } => "a section has no end".into(),
        pem::Error::Base64Decode(_) => "a section is not base64".into(),
        error => error.to_string(),
    }
}

/// What is wrong with the certificate's time. Verification looks at the time before it looks for an issuer; that there
/// is none to find does not matter here.
fn out_of_time(certificate: &EndEntityCert<'_>) -> Option<&'static str> {
    let verified = certificate.verify_for_usage(&[], &[], &[], UnixTime::now(), KeyUsage::server_auth(), None, None);
    match verified {
        Err(webpki::Error::CertExpired { .. }) => Some("the certificate has expired"),
        Err(webpki::Error::CertNotValidYet { .. }) => Some("the certificate is not valid yet"),
        _ => None,
    }
}
