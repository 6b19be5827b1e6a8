//! nginx, in each of its parts: the peer that is compared with, and the backend of both.
//! It measures nothing.

use std::net::{SocketAddr, TcpListener, TcpStream};
use std::process::{Child, Command, Stdio};

use tidegate_tests::{Scratch, eventually};

use crate::cpu;

/// A running nginx with one worker; it ends when dropped.
pub struct Nginx {
    master: Child,
    pub address: SocketAddr,
    _folder: Scratch,
}

/// What a peer does beside proxying.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Extras {
    None,
    LogAndLimit,
}

const BODY: &str = r#"{"id":42,"name":"Ada Lovelace","email":"ada@example.com","roles":["admin","author"],"active":true,"since":"2020-01-01T00:00Z"}"#;

impl Nginx {
    /// Answers 128 bytes of JSON to everything.
    pub fn backend() -> Self {
        Self::start(cpu::LOAD_CORE, |address| {
            format!(
                "server {{ listen {address}; location / {{ default_type application/json; return 200 '{BODY}'; }} }}"
            )
        })
    }

    /// Proxies to `backend`, WebSockets too.
    pub fn proxy(backend: SocketAddr, extras: Extras) -> Self {
        Self::start(cpu::PROXY_CORE, |address| {
            let (http, location) = match extras {
                Extras::None => ("", ""),
                // Buffered, since Tidegate does not write each line alone either. The limit is never reached: it is the check that costs.
                Extras::LogAndLimit => (
                    r#"log_format json escape=json '{"timestamp":"$time_iso8601","request_id":"$request_id","client_address":"$remote_addr",'
                        '"method":"$request_method","host":"$host","path":"$uri","protocol":"$server_protocol","status":$status,'
                        '"duration":$request_time,"upstream":"$upstream_response_time","endpoint":"$upstream_addr",'
                        '"request_bytes":$request_length,"response_bytes":$body_bytes_sent}';
                    limit_req_zone $binary_remote_addr zone=clients:10m rate=1000000r/s;"#,
                    "access_log access.log json buffer=64k flush=1s; limit_req zone=clients burst=1000000 nodelay;",
                ),
            };
            format!(
                "{http}
                map $http_upgrade $connection_header {{ '' ''; default upgrade; }}
                upstream backend {{ server {backend}; keepalive 128; keepalive_requests 1000000000; }}
                server {{
                    listen {address};
                    location / {{
                        {location}
                        proxy_pass http://backend;
                        proxy_http_version 1.1;
                        proxy_set_header Host $http_host;
                        proxy_set_header Connection '';
                    }}
                    location /websocket {{
                        proxy_pass http://backend;
                        proxy_http_version 1.1;
                        proxy_set_header Host $http_host;
                        proxy_set_header Upgrade $http_upgrade;
                        proxy_set_header Connection $connection_header;
                    }}
                }}"
            )
        })
    }

    fn start(core: u32, servers: impl FnOnce(SocketAddr) -> String) -> Self {
        let folder = Scratch::new();
        let address = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
        let servers = servers(address);
        folder.write(
            "nginx.conf",
            format!(
                "daemon off; worker_processes 1; pid nginx.pid; error_log stderr crit; worker_rlimit_nofile 8192;
                events {{ worker_connections 4096; }}
                http {{
                    access_log off; keepalive_requests 1000000000; tcp_nodelay on;
                    client_body_temp_path body; proxy_temp_path proxy; fastcgi_temp_path f; uwsgi_temp_path u; scgi_temp_path s;
                    {servers}
                }}"
            ),
        );
        let mut nginx = Command::new("nginx");
        nginx.arg("-p").arg(folder.path()).arg("-e").arg("stderr").arg("-c").arg("nginx.conf").stdin(Stdio::null());
        let mut master = nginx.spawn().expect("nginx (Debian package) runs");
        eventually("nginx listens", || {
            assert!(master.try_wait().unwrap().is_none(), "nginx does not start");
            TcpStream::connect(address).is_ok()
        });
        let children = format!("/proc/{0}/task/{0}/children", master.id());
        eventually("nginx has its worker", || !std::fs::read_to_string(&children).unwrap().is_empty());
        for process in std::fs::read_to_string(&children).unwrap().split_whitespace() {
            cpu::pin(process.parse().unwrap(), core);
        }
        Self { master, address, _folder: folder }
    }

    /// The master process.
    pub fn id(&self) -> u32 {
        self.master.id()
    }
}

impl Drop for Nginx {
    fn drop(&mut self) {
        // TERM, so that the master ends its worker; a kill would leave that behind.
        let _ = Command::new("kill").arg(self.master.id().to_string()).status();
        let _ = self.master.wait();
    }
}
