//! TLS towards clients, over pipes: certificates by name, ALPN, errors that name their file.

use std::path::PathBuf;
use std::sync::Arc;

use rcgen::{CertificateParams, KeyPair, date_time_ymd};
use rustls::pki_types::{CertificateDer, ServerName};
use rustls::{ClientConfig, RootCertStore};
use tokio_rustls::TlsConnector;

use super::{Agreed, handshake, server_config};
use crate::listen::config::{Certificate, Tls};

/// Certificate files in a directory of their own, removed at the end.
struct Files(PathBuf);

impl Files {
    fn new(name: &str) -> Self {
        let place = std::env::temp_dir().join(format!("tidegate-tls-{name}-{}", std::process::id()));
        std::fs::create_dir_all(&place).unwrap();
        Self(place)
    }

    fn write(&self, name: &str, text: &str) -> PathBuf {
        let path = self.0.join(name);
        std::fs::write(&path, text).unwrap();
        path
    }

    fn certificate(&self, file: &str, params: &CertificateParams) -> (Certificate, CertificateDer<'static>) {
        let key = KeyPair::generate().unwrap();
        let made = params.self_signed(&key).unwrap();
        let certificate = self.write(&format!("{file}.pem"), &made.pem());
        let key = self.write(&format!("{file}.key"), &key.serialize_pem());
        (Certificate { certificate, key }, made.der().clone())
    }

    fn for_names(&self, file: &str, names: &[&str]) -> (Certificate, CertificateDer<'static>) {
        let names: Vec<String> = names.iter().map(|name| (*name).to_owned()).collect();
        self.certificate(file, &CertificateParams::new(names).unwrap())
    }
}

impl Drop for Files {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

/// The certificate that a client who asks for `name` is shown, and what was agreed.
async fn shown(
    tls: &Tls,
    roots: &[CertificateDer<'static>],
    name: &'static str,
    alpn: &[&[u8]],
) -> (CertificateDer<'static>, Agreed) {
    let server = server_config(tls).unwrap().config;
    let mut store = RootCertStore::empty();
    store.add_parsable_certificates(roots.iter().cloned());
    let mut client = ClientConfig::builder_with_provider(Arc::new(rustls::crypto::ring::default_provider()))
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_root_certificates(store)
        .with_no_client_auth();
    client.alpn_protocols = alpn.iter().map(|protocol| protocol.to_vec()).collect();
    let (near, far) = tokio::io::duplex(64 * 1024);
    let connector = TlsConnector::from(Arc::new(client));
    let name = ServerName::try_from(name).unwrap();
    let (served, connected) = tokio::join!(handshake(&server, far), connector.connect(name, near));
    let connected = connected.unwrap();
    (connected.get_ref().1.peer_certificates().unwrap()[0].clone(), served.unwrap().1)
}

#[tokio::test]
async fn the_certificate_is_chosen_by_name() {
    let files = Files::new("names");
    let (first, first_der) = files.for_names("first", &["default.example", "127.0.0.1"]);
    let (exact, exact_der) = files.for_names("exact", &["a.example.com"]);
    let (wild, wild_der) = files.for_names("wild", &["*.example.com"]);
    let tls = Tls { certificates: vec![first, exact, wild] };
    let roots = [first_der.clone(), exact_der.clone(), wild_der.clone()];
    assert_eq!(shown(&tls, &roots, "a.example.com", &[]).await.0, exact_der);
    assert_eq!(shown(&tls, &roots, "b.example.com", &[]).await.0, wild_der);
    assert_eq!(shown(&tls, &roots, "default.example", &[]).await.0, first_der);
    // An address is not sent as a name.
    assert_eq!(shown(&tls, &roots, "127.0.0.1", &[]).await.0, first_der);
}

#[tokio::test]
async fn http2_is_preferred_and_nothing_is_forced() {
    let files = Files::new("alpn");
    let (certificate, der) = files.for_names("site", &["a.example"]);
    let (tls, roots) = (Tls { certificates: vec![certificate] }, [der]);
    assert_eq!(shown(&tls, &roots, "a.example", &[b"http/1.1", b"h2"]).await.1, Agreed::H2);
    assert_eq!(shown(&tls, &roots, "a.example", &[b"http/1.1"]).await.1, Agreed::Http11);
    assert_eq!(shown(&tls, &roots, "a.example", &[]).await.1, Agreed::Nothing);
}

#[test]
fn errors_name_the_file_and_the_cause() {
    let files = Files::new("errors");
    let (good, _) = files.for_names("good", &["a.example"]);
    let (other, _) = files.for_names("other", &["b.example"]);
    let empty = files.write("empty.pem", "nothing here\n");
    let missing = files.0.join("missing.pem");
    let broken = files.write("broken.pem", "-----BEGIN CERTIFICATE-----\nMIIB\n");
    let garbage = files.write("garbage.pem", "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n");
    let cases = [
        (missing, good.key.clone(), "missing.pem: No such file"),
        (empty.clone(), good.key.clone(), "empty.pem: no certificate in it"),
        (broken, good.key.clone(), "broken.pem: not a PEM file: a section has no end"),
        (garbage, good.key.clone(), "garbage.pem: not a valid certificate"),
        (good.certificate.clone(), empty, "empty.pem: no private key in it"),
        (good.certificate, other.key, "other.key is not the key of"),
    ];
    for (certificate, key, expected) in cases {
        let error = server_config(&Tls { certificates: vec![Certificate { certificate, key }] }).unwrap_err();
        assert!(error.to_string().contains(expected), "{error}");
    }
    assert!(server_config(&Tls { certificates: Vec::new() }).is_err());
}

#[test]
fn an_expired_certificate_is_used_with_a_warning() {
    let files = Files::new("expired");
    let mut params = CertificateParams::new(vec!["a.example".to_owned()]).unwrap();
    params.not_before = date_time_ymd(2019, 1, 1);
    params.not_after = date_time_ymd(2020, 1, 1);
    let (expired, _) = files.certificate("expired", &params);
    let (good, _) = files.for_names("good", &["b.example"]);
    let loaded = server_config(&Tls { certificates: vec![good, expired] }).unwrap();
    assert_eq!(loaded.warnings.len(), 1, "{:?}", loaded.warnings);
    assert!(loaded.warnings[0].ends_with("expired.pem: the certificate has expired"), "{:?}", loaded.warnings);
}
