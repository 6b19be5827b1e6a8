//! Hop-by-hop and forwarding headers: what is removed, believed, and added.

use std::net::IpAddr;

use http::header::{HeaderMap, HeaderName, HeaderValue};
use http::{Uri, Version};

use super::{
    Found, Hop, Introduction, add_via, authority, client_address, client_https, forward, strip_request, strip_response,
    without_port,
};
use crate::wire::config::{Network, NetworkError};

fn headers(fields: &[(&str, &str)]) -> HeaderMap {
    fields
        .iter()
        .map(|(name, value)| (HeaderName::try_from(*name).unwrap(), HeaderValue::try_from(*value).unwrap()))
        .collect()
}

fn ip(text: &str) -> IpAddr {
    text.parse().unwrap()
}

#[test]
fn what_is_between_two_hops_goes_no_further() {
    let mut request = headers(&[
        ("connection", "close, X-Private , x-other"),
        ("connection", "host, content-length, te, not a name"),
        ("x-private", "1"),
        ("x-other", "1"),
        ("keep-alive", "timeout=5"),
        ("proxy-connection", "keep-alive"),
        ("proxy-authorization", "Basic x"),
        ("te", "gzip, Trailers"),
        ("transfer-encoding", "chunked"),
        ("upgrade", "websocket"),
        ("host", "a"),
        ("content-length", "3"),
        ("accept", "b"),
    ]);
    strip_request(&mut request);
    assert_eq!(request, headers(&[("te", "trailers"), ("host", "a"), ("content-length", "3"), ("accept", "b")]));

    let mut response = headers(&[("connection", "x-private"), ("x-private", "1"), ("upgrade", "h2c"), ("date", "d")]);
    strip_response(&mut response);
    assert_eq!(response, headers(&[("date", "d")]));
}

#[test]
fn what_strangers_say_of_hops_before_is_forgotten_and_ours_cannot_be_removed() {
    let said = [("x-forwarded-prefix", "/evil"), ("x-forwarded-tls-client-cert", "c"), ("x-real-ip", "6.6.6.6")];
    let mut request = headers(&[&said[..], &[("accept", "b")]].concat());
    Found::among(&request).forget_claims(&mut request);
    assert_eq!(request, headers(&[("accept", "b")]));

    let ours = [("x-forwarded-for", "10.0.0.1"), ("forwarded", "for=10.0.0.1")];
    let mut request =
        headers(&[&ours[..], &[("connection", "X-Forwarded-For, Forwarded, x-mine"), ("x-mine", "1")]].concat());
    strip_request(&mut request);
    assert_eq!(request, headers(&ours));
}

#[test]
fn te_without_trailers_goes() {
    let mut request = headers(&[("te", "gzip")]);
    strip_request(&mut request);
    assert!(request.is_empty());
}

#[test]
fn via_names_the_protocol_that_came_in_and_keeps_earlier_hops() {
    let mut fields = headers(&[("via", "1.0 fred")]);
    add_via(&mut fields, Version::HTTP_11);
    add_via(&mut fields, Version::HTTP_2);
    let via: Vec<_> = fields.get_all("via").iter().map(|value| value.to_str().unwrap()).collect();
    assert_eq!(via, ["1.0 fred", "1.1 tidegate", "2.0 tidegate"]);
}

const HOP: Hop<'_> = Hop {
    peer: IpAddr::V4(std::net::Ipv4Addr::new(203, 0, 113, 9)),
    https: true,
    host: Some("a.example:8443"),
    port: 8443,
};

#[test]
fn what_a_stranger_says_about_hops_before_it_is_replaced() {
    let mut fields = headers(&[
        ("x-forwarded-for", "10.0.0.1"),
        ("x-forwarded-proto", "http"),
        ("x-forwarded-host", "evil"),
        ("x-forwarded-port", "1"),
        ("forwarded", "for=10.0.0.1"),
    ]);
    forward(&mut fields, &Introduction::new(&HOP), false);
    let expected = headers(&[
        ("x-forwarded-for", "203.0.113.9"),
        ("x-forwarded-proto", "https"),
        ("x-forwarded-host", "a.example:8443"),
        ("x-forwarded-port", "8443"),
        ("forwarded", "for=203.0.113.9;host=\"a.example:8443\";proto=https"),
    ]);
    assert_eq!(fields, expected);
}

#[test]
fn what_a_trusted_proxy_says_is_kept_and_the_lists_grow() {
    let mut fields = headers(&[
        ("x-forwarded-for", "198.51.100.1"),
        ("x-forwarded-for", "10.0.0.1"),
        ("x-forwarded-proto", "http"),
        ("forwarded", "for=198.51.100.1"),
    ]);
    let hop = Hop { peer: ip("2001:db8::1"), host: Some("a.example"), port: 443, ..HOP };
    forward(&mut fields, &Introduction::new(&hop), true);
    let expected = headers(&[
        ("x-forwarded-for", "198.51.100.1, 10.0.0.1, 2001:db8::1"),
        ("x-forwarded-proto", "http"),
        ("x-forwarded-host", "a.example"),
        ("x-forwarded-port", "443"),
        ("forwarded", "for=198.51.100.1, for=\"[2001:db8::1]\";host=a.example;proto=https"),
    ]);
    assert_eq!(fields, expected);
}

#[test]
fn an_introduction_is_for_one_host() {
    let named = Introduction::new(&HOP);
    assert!(named.is_for(HOP.host) && !named.is_for(Some("b.example")) && !named.is_for(None));
    let nameless = Introduction::new(&Hop { host: None, ..HOP });
    assert!(nameless.is_for(None) && !nameless.is_for(HOP.host));
    let mut fields = headers(&[("x-forwarded-host", "evil")]);
    forward(&mut fields, &nameless, false);
    assert!(!fields.contains_key("x-forwarded-host"));
}

#[test]
fn the_client_is_the_right_most_that_is_not_trusted() {
    let trusted: Vec<Network> = ["10.0.0.0/8", "::1"].iter().map(|text| text.parse().unwrap()).collect();
    type Case<'a> = (&'a str, &'a [(&'a str, &'a str)], &'a str);
    let cases: &[Case<'_>] = &[
        ("203.0.113.9", &[("x-forwarded-for", "1.2.3.4")], "203.0.113.9"),
        ("10.0.0.1", &[], "10.0.0.1"),
        ("10.0.0.1", &[("x-forwarded-for", "6.6.6.6, 1.2.3.4, 10.0.0.2")], "1.2.3.4"),
        ("10.0.0.1", &[("x-forwarded-for", "1.2.3.4"), ("x-forwarded-for", "10.0.0.3")], "1.2.3.4"),
        ("10.0.0.1", &[("x-forwarded-for", "10.0.0.4, 10.0.0.3")], "10.0.0.4"),
        ("10.0.0.1", &[("x-forwarded-for", "1.2.3.4, garbage, 10.0.0.3")], "10.0.0.1"),
        ("10.0.0.1", &[("x-forwarded-for", "1.2.3.4,")], "10.0.0.1"),
        ("10.0.0.1", &[("x-forwarded-for", "1.2.3.4:5678")], "1.2.3.4"),
        ("10.0.0.1", &[("x-forwarded-for", "[2001:db8::1]")], "2001:db8::1"),
        ("10.0.0.1", &[("forwarded", "for=6.6.6.6, For=\"[2001:db8::1]:99\";proto=http")], "2001:db8::1"),
        ("10.0.0.1", &[("forwarded", "for=1.2.3.4, for=unknown")], "10.0.0.1"),
        ("10.0.0.1", &[("x-forwarded-for", "1.2.3.4"), ("forwarded", "for=6.6.6.6")], "1.2.3.4"),
        ("::ffff:10.0.0.1", &[("x-forwarded-for", "1.2.3.4")], "1.2.3.4"),
        ("::1", &[("x-forwarded-for", "::ffff:1.2.3.4")], "1.2.3.4"),
    ];
    for (peer, fields, client) in cases {
        assert_eq!(client_address(ip(peer), &trusted, &headers(fields)), ip(client), "{peer} {fields:?}");
    }
}

#[test]
fn a_proxy_says_how_the_client_spoke() {
    for (said, expected) in [
        ("https", Some(true)),
        ("HTTPS, http", Some(true)),
        (" wss", Some(true)),
        ("http", Some(false)),
        ("ws", Some(false)),
        ("", None),
        ("ftp", None),
        ("httpsx", None),
    ] {
        assert_eq!(client_https(&headers(&[("x-forwarded-proto", said)])), expected, "{said:?}");
    }
    assert_eq!(client_https(&HeaderMap::new()), None);
}

#[test]
fn networks_are_read_and_contain_what_they_should() {
    let network = |text: &str| text.parse::<Network>();
    assert!(network("10.0.0.0/8").unwrap().contains(ip("10.255.0.1")));
    assert!(!network("10.0.0.0/8").unwrap().contains(ip("11.0.0.1")));
    assert!(!network("10.0.0.0/8").unwrap().contains(ip("::1")));
    assert!(network("0.0.0.0/0").unwrap().contains(ip("1.2.3.4")));
    assert!(network("::/0").unwrap().contains(ip("::1")));
    assert!(network("::1").unwrap().contains(ip("::1")) && !network("::1").unwrap().contains(ip("::2")));
    assert!(network("2001:db8::/32").unwrap().contains(ip("2001:db8:1::1")));
    assert_eq!(network("10.0.0.1").unwrap().to_string(), "10.0.0.1/32");
    assert_eq!(network("10.0.0.1/8"), Err(NetworkError::HostBits));
    assert_eq!(network("10.0.0.0/33"), Err(NetworkError::Prefix));
    assert_eq!(network("10.0.0.0/+8"), Err(NetworkError::Address));
    assert_eq!(network("10.0.0/8"), Err(NetworkError::Address));
    assert_eq!(network("10.0.0.0/"), Err(NetworkError::Prefix));
}

#[test]
fn whom_a_request_is_for() {
    let host = headers(&[("host", "a:80")]);
    assert_eq!(authority(&Uri::from_static("/x"), &host), Some("a:80"));
    assert_eq!(authority(&Uri::from_static("http://b:81/x"), &host), Some("b:81"));
    for (authority, name) in
        [("a", "a"), ("a:80", "a"), ("[::1]", "[::1]"), ("[::1]:80", "[::1]"), ("1.2.3.4:5", "1.2.3.4")]
    {
        assert_eq!(without_port(authority), name);
    }
}
