//! An origin for scripts: serves what `tidegate_tests::origin` describes until its standard input ends.
//! It knows nothing of the proxy before it.
#![allow(clippy::print_stdout)]

use std::io::Read;
use std::net::SocketAddr;

fn main() {
    let mut origin = tidegate_tests::origin();
    if let Some(address) = std::env::args().nth(1) {
        origin = origin.at(address.parse::<SocketAddr>().unwrap_or_else(|_| std::process::exit(64)));
    }
    let origin = origin.start();
    println!("{}", origin.address());
    let _ = std::io::stdin().read_to_end(&mut Vec::new());
}
