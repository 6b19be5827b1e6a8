//! Checks `upstreams`.
//! It resolves no name and opens no file.

use std::net::IpAddr;
use std::num::NonZeroU32;

use super::{At, Context};
use crate::config::file::{BalanceFile, BreakerFile, EndpointFile, Named, ProtocolFile, UpstreamFile, UpstreamTlsFile};
use crate::config::syntax::Syntax;
use crate::upstream::config::{Balance, Breaker, Endpoint, Pool, Protocol, Timeouts, Tls, Upstream};

/// What opens a breaker that says nothing of it.
const CONSECUTIVE_FAILURES: NonZeroU32 = NonZeroU32::new(5).unwrap();

pub(super) fn check(files: Named<UpstreamFile>, at: At<'_>, context: &mut Context<'_>) -> Vec<Upstream> {
    files.0.into_iter().map(|(name, file)| upstream(&name, file, at.key(&name), context)).collect()
}

fn upstream(name: &str, file: UpstreamFile, at: At<'_>, context: &mut Context<'_>) -> Upstream {
    let mut endpoints: Vec<Endpoint> = Vec::new();
    let encrypted = at.has("tls") || at.pruned();
    for (index, file) in file.endpoints.into_iter().enumerate() {
        let at = at.key("endpoints").item(index);
        let (address, weight) = match file {
            EndpointFile::Address(address) => (address.0, NonZeroU32::MIN),
            EndpointFile::Weighted { address, weight } => (address.0, weight),
        };
        if endpoints.iter().any(|other| other.host == address.host && other.port == address.port) {
            let message = format!("duplicate endpoint `{}`", address.show());
            context.error(at.key("address"), message, "give it a `weight` to send it more");
        }
        if address.port == 443 && !encrypted {
            context.warn(at.key("address"), "port 443 without TLS", "give the upstream `tls: {}`");
        }
        endpoints.push(Endpoint { host: address.host, port: address.port, weight });
    }
    let tls = file.tls.map(|file| tls(file, &endpoints, at.key("tls"), context));
    Upstream {
        name: name.into(),
        endpoints,
        protocol: match file.protocol {
            ProtocolFile::Http1 => Protocol::Http1,
            ProtocolFile::Http2 => Protocol::Http2,
        },
        tls,
        balance: match file.balance {
            BalanceFile::RoundRobin => Balance::RoundRobin,
            BalanceFile::LeastRequests => Balance::LeastRequests,
        },
        timeouts: Timeouts {
            connect: file.timeouts.connect.0.0,
            head: file.timeouts.head.0.0,
            idle: file.timeouts.idle.0.0,
        },
        pool: Pool {
            idle_per_endpoint: usize::try_from(file.pool.idle_per_endpoint).unwrap_or(usize::MAX),
            idle_timeout: file.pool.idle_timeout.0.0,
            lifetime: file.pool.lifetime.0.0,
        },
        breaker: file.breaker.map(|file| breaker(&file)),
    }
}

fn tls(file: UpstreamTlsFile, endpoints: &[Endpoint], at: At<'_>, context: &mut Context<'_>) -> Tls {
    if !file.verify {
        let help = "anyone in between can read and change everything; `ca` trusts an authority of your own";
        context.warn(at.key("verify"), "the upstream's certificate is not verified", help);
    }
    if let Some(name) = &file.server_name
        && rustls_pki_types::ServerName::try_from(name.as_str()).is_err()
    {
        context.error(
            at.key("server_name"),
            format!("invalid server name `{name}`"),
            "write a host name or an IP address",
        );
    }
    let address = endpoints.iter().find(|endpoint| endpoint.host.parse::<IpAddr>().is_ok());
    if let (Some(endpoint), None, true) = (address, &file.server_name, file.verify && !at.pruned()) {
        let message = format!("the certificate must be for the address `{}`", endpoint.host);
        context.warn_at_key(at, message, "give `server_name` where it is for a name");
    }
    let ca = file.ca.map(|path| context.file(&path));
    Tls { server_name: file.server_name.map(Into::into), ca, verify: file.verify }
}

fn breaker(file: &BreakerFile) -> Breaker {
    let nothing = file.consecutive_failures.is_none() && file.failure_budget.is_none();
    Breaker {
        consecutive_failures: if nothing { Some(CONSECUTIVE_FAILURES) } else { file.consecutive_failures },
        failure_budget: file.failure_budget.as_ref().map(|rate| rate.0.quota(None)),
        open_for: file.open_for.0.0,
        probes: file.probes,
    }
}
