//! CPU time per request beside nginx.
//! It knows nothing of the inside of the proxy.

fn main() {}
