//! Checks `listeners`.
//! It opens no certificate.

use std::net::SocketAddr;

use super::names::Names;
use super::{At, Context};
use crate::config::file::{ListenerFile, ListenerTlsFile};
use crate::config::syntax::Syntax;
use crate::config::tree::{Node, Value};
use crate::listen::config::{Certificate, Listener, Tls};
use crate::wire::config::HeadLimits;

/// The listeners, and their names.
pub(super) fn check(
    files: Vec<ListenerFile>,
    admin: Option<SocketAddr>,
    plugins: &Names,
    whole: &Node,
    root: At<'_>,
    context: &mut Context<'_>,
) -> (Vec<Listener>, Names) {
    let list = root.key("listeners");
    let mut listeners: Vec<Listener> = Vec::new();
    for (index, file) in files.into_iter().enumerate() {
        let at = list.item(index);
        let name = file.name.map_or_else(|| file.address.0.show(), |name| name.0.0);
        if name == "admin" {
            context.error(at.key("name"), "a listener cannot be named `admin`", "that is the admin port");
        }
        if listeners.iter().any(|other| *other.name == name) {
            context.error(at.key("name"), format!("duplicate listener name `{name}`"), "names are unique");
        }
        let address = file.address.0;
        if address.port() != 0 {
            if let Some(other) = listeners.iter().find(|other| other.address == address) {
                let help = format!("listener `{}` has it", other.name);
                context.error(at.key("address"), format!("duplicate address `{address}`"), help);
            }
            if admin == Some(address) {
                context.error(at.key("address"), format!("duplicate address `{address}`"), "the admin port has it");
            }
        }
        if address.port() == 443 && file.tls.is_none() && !at.pruned() {
            context.warn(at.key("address"), "port 443 without TLS", "give the listener `tls`");
        }
        let tls = file.tls.map(|file| tls(&file, context));
        let plugins = plugins.find_all("plugin", &file.plugins, at.key("plugins"), context);
        let trusted_proxies = file.trusted_proxies.into_iter().map(|network| network.0).collect();
        listeners.push(Listener {
            name: name.into(),
            address,
            tls,
            trusted_proxies,
            max_connections: file.max_connections,
            head: HeadLimits {
                max_size: file.head.max_size.0.bytes(),
                max_headers: usize::try_from(file.head.max_headers).unwrap_or(usize::MAX),
                timeout: file.head.timeout.0.0,
            },
            idle_timeout: file.idle_timeout.0.0,
            plugins,
        });
    }
    let mut names = Names::of(whole, "").found(listeners.iter().map(|listener| &*listener.name));
    for item in whole.get("listeners").map(items).unwrap_or_default() {
        if let Some(Value::Scalar(scalar)) = item.get("name").or(item.get("address")).map(|node| &node.value) {
            names.declare(scalar.text.clone());
        }
    }
    (listeners, names)
}

fn tls(file: &ListenerTlsFile, context: &mut Context<'_>) -> Tls {
    let mut certificate = |file: &crate::config::file::CertificateFile| Certificate {
        certificate: context.file(&file.certificate),
        key: context.file(&file.key),
    };
    Tls { certificates: file.certificates.iter().map(&mut certificate).collect() }
}

fn items(node: &Node) -> &[Node] {
    match &node.value {
        Value::List(items) => items,
        Value::Null | Value::Broken | Value::Scalar(_) | Value::Map(_) => &[],
    }
}
