//! An origin for scripts: serves what `tidegate_tests::origin` describes until its standard input ends.
//! It knows nothing of the proxy before it.
//!
//! `origin [http2] [ADDRESS]` prints where it listens.
#![allow(clippy::print_stdout)]

use std::io::Read;
use std::net::SocketAddr;

fn main() {
    let mut origin = tidegate_tests::origin();
    for argument in std::env::args().skip(1) {
        origin = match argument.parse::<SocketAddr>() {
            Ok(address) => origin.at(address),
            Err(_) if argument == "http2" => origin.http2(),
            Err(_) => std::process::exit(64),
        };
    }
    let origin = origin.start();
    println!("{}", origin.address());
    let _ = std::io::stdin().read_to_end(&mut Vec::new());
}
