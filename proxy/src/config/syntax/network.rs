//! Addresses and networks.
//! It resolves and connects nothing.

use std::net::SocketAddr;
use std::sync::Arc;

use ::http::Uri;

use super::Syntax;
use crate::wire::config::{Network, NetworkError};

/// A host and a port: `10.0.0.5:3000`, `app.internal:80`, `[::1]:3000`.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct EndpointAddress {
    /// An IP address without brackets, or a name in lower case.
    pub host: Arc<str>,
    pub port: u16,
}

impl Syntax for SocketAddr {
    const FORMAT: &'static str = "address";
    const ALLOWED: &'static str = "an IP address and a port, as `0.0.0.0:8080` or `[::]:8080`";

    fn parse(text: &str) -> Result<Self, String> {
        if let Ok(address) = text.parse() {
            return Ok(address);
        }
        if let Some(port) = text.strip_prefix(':').filter(|port| port.parse::<u16>().is_ok()) {
            return Err(format!("did you mean `0.0.0.0:{port}`?"));
        }
        if text.parse::<u16>().is_ok() {
            return Err(format!("did you mean `0.0.0.0:{text}`?"));
        }
        if let Some(port) = text.strip_prefix("localhost:").filter(|port| port.parse::<u16>().is_ok()) {
            return Err(format!("a name cannot be bound; did you mean `127.0.0.1:{port}`?"));
        }
        Err("write an IP address and a port, as `0.0.0.0:8080` or `[::]:8080`".to_owned())
    }

    fn show(&self) -> String {
        self.to_string()
    }
}

impl Syntax for EndpointAddress {
    const FORMAT: &'static str = "endpoint";
    const ALLOWED: &'static str = "an IP address or a name, and a port, as `10.0.0.5:3000` or `app.internal:80`";

    fn parse(text: &str) -> Result<Self, String> {
        if let Some((scheme, rest)) = text.split_once("://") {
            let rest = rest.trim_end_matches('/');
            let tls = if scheme == "https" { ", with `tls: {}` beside `endpoints`" } else { "" };
            return Err(format!("an endpoint has no scheme; write `{rest}`{tls}"));
        }
        if let Ok(address) = text.parse::<SocketAddr>() {
            return match address.port() {
                0 => Err("port 0 cannot be connected to".to_owned()),
                port => Ok(Self { host: address.ip().to_string().into(), port }),
            };
        }
        let Some((host, port)) = text.rsplit_once(':') else {
            return Err("the port is missing; write `host:port`".to_owned());
        };
        match port.parse::<u16>() {
            Ok(port) if port > 0 && is_host(host) => Ok(Self { host: host.to_ascii_lowercase().into(), port }),
            Ok(port) if port > 0 => Err(format!("`{host}` is neither an IP address nor a host name")),
            Ok(_) | Err(_) => Err("a port is a number from 1 to 65535".to_owned()),
        }
    }

    fn show(&self) -> String {
        if self.host.contains(':') {
            format!("[{}]:{}", self.host, self.port)
        } else {
            format!("{}:{}", self.host, self.port)
        }
    }
}

impl Syntax for Network {
    const FORMAT: &'static str = "network";
    const ALLOWED: &'static str = "an IP network or address, as `10.0.0.0/8`, `fd00::/8` or `192.0.2.1`";

    fn parse(text: &str) -> Result<Self, String> {
        text.parse().map_err(|error: NetworkError| error.to_string())
    }

    fn show(&self) -> String {
        self.to_string()
    }
}

impl Syntax for Uri {
    const FORMAT: &'static str = "url";
    const ALLOWED: &'static str = "`http://` or `https://`, a host and a port, as `http://tempo:4317`";

    fn parse(text: &str) -> Result<Self, String> {
        let wanted = "write a URL with a host, as `http://tempo:4317`";
        let uri: Self = text.parse().map_err(|_| wanted.to_owned())?;
        let Some(authority) = uri.authority() else {
            return Err(wanted.to_owned());
        };
        match uri.scheme_str() {
            Some("http" | "https") => {}
            Some(_) => return Err("the scheme must be `http` or `https`".to_owned()),
            None => return Err(format!("did you mean `http://{text}`?")),
        }
        if authority.as_str().contains('@') {
            return Err("a URL with a password is not taken; use `headers`".to_owned());
        }
        if uri.query().is_some() {
            return Err("a query is not used here".to_owned());
        }
        if authority.host().is_empty() { Err(wanted.to_owned()) } else { Ok(uri) }
    }

    fn show(&self) -> String {
        self.to_string()
    }
}

/// Whether a text can be the name of a host: labels of letters, digits, `-` and `_`, 63 long at most, 253 together.
pub(super) fn is_host(text: &str) -> bool {
    let label = |label: &str| {
        (1..=63).contains(&label.len())
            && !label.starts_with('-')
            && !label.ends_with('-')
            && label.bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_'))
    };
    text.len() <= 253 && text.split('.').all(label)
}

#[cfg(test)]
mod tests {
    use std::net::SocketAddr;

    use ::http::Uri;

    use super::EndpointAddress;
    use crate::config::syntax::Syntax;
    use crate::wire::config::Network;

    #[test]
    fn endpoints() {
        for text in ["10.0.0.5:3000", "app.internal:80", "[::1]:3000", "my_service:1"] {
            assert_eq!(EndpointAddress::parse(text).unwrap().show(), text);
        }
        for text in [
            "",
            "app",
            "app:",
            "app:0",
            "app:65536",
            ":80",
            "http://app:80",
            "-a:80",
            "a..b:80",
            "a b:80",
            "::1:80",
            "1.2.3.4:0",
        ] {
            assert!(EndpointAddress::parse(text).is_err(), "{text}");
        }
        assert!(EndpointAddress::parse("https://app:443/").unwrap_err().contains("write `app:443`, with `tls"));
    }

    #[test]
    fn networks() {
        for text in ["10.0.0.0/8", "0.0.0.0/0", "::/0", "fd00::/8", "192.0.2.1/32"] {
            assert_eq!(Network::parse(text).unwrap().show(), text);
        }
        assert_eq!(Network::parse("192.0.2.1").unwrap().prefix, 32);
        for text in ["", "10.1.0.0/8", "10.0.0.0/33", "10.0.0/8", "a/8", "::/129", "10.0.0.0/", "10.0.0.0/-1"] {
            assert!(Network::parse(text).is_err(), "{text}");
        }
    }

    #[test]
    fn addresses_and_urls() {
        assert!(<SocketAddr as Syntax>::parse("8080").unwrap_err().contains("`0.0.0.0:8080`"));
        assert!(<SocketAddr as Syntax>::parse(":8080").unwrap_err().contains("`0.0.0.0:8080`"));
        assert!(<SocketAddr as Syntax>::parse("localhost:80").unwrap_err().contains("`127.0.0.1:80`"));
        assert!(<Uri as Syntax>::parse("http://tempo:4317").is_ok());
        for text in ["tempo:4317", "ftp://tempo", "http://a:b@tempo/", "http://tempo/?a", "", "/x"] {
            assert!(<Uri as Syntax>::parse(text).is_err(), "{text}");
        }
    }
}
