//! nginx with a few answers of every class.

use std::fs;

use anyhow::Result;
use tempfile::TempDir;

use super::{certify, local, program};
use crate::child::{Running, free_port};

/// A running nginx.
#[derive(Debug)]
pub struct Nginx {
    /// The running program.
    pub process: Running,
    /// Its port for HTTP/1.
    pub port: u16,
    /// Its port for HTTP/2 without TLS.
    pub http2_port: u16,
    /// The same, for four requests a connection.
    pub few_port: u16,
    /// Its port for HTTP/1 and HTTP/2 over TLS, if it speaks that.
    pub tls_port: Option<u16>,
    _folder: TempDir,
}

impl Nginx {
    /// Starts one and waits until it answers. Paths: `/ok`, `/orders/ID`, `/missing` (404), `/broken` (500), `/big` (1 MiB), `/chunked`,
    /// `/page` (over HTTP/2 with `/ok` and `/missing` pushed), `/slow` (at most ten a second, the others wait). A connection
    /// over HTTP/2 to `few_port` ends after four requests.
    ///
    /// # Errors
    /// When it is not installed or does not start.
    pub fn start() -> Result<Self> {
        Self::started(1, false)
    }

    /// The same with two workers, and on one more port it speaks TLS with a certificate of its own.
    ///
    /// # Errors
    /// When it or OpenSSL is not installed, or it does not start.
    pub fn start_with_tls() -> Result<Self> {
        Self::started(2, true)
    }

    fn started(workers: u8, tls: bool) -> Result<Self> {
        let (folder, port, http2_port, few_port) = (TempDir::new()?, free_port()?, free_port()?, free_port()?);
        let tls_port = if tls { Some(free_port()?) } else { None };
        let place = folder.path().display();
        fs::write(folder.path().join("big"), vec![b'x'; 1 << 20])?;
        fs::write(folder.path().join("page"), "page\n")?;
        let places = format!(
            "root {place};\n\
             location = /ok {{ return 200 \"fine\\n\"; }}\n\
             location /orders/ {{ return 200 \"order\\n\"; }}\n\
             location = /broken {{ return 500 \"broken\\n\"; }}\n\
             location = /chunked {{ gzip on; gzip_min_length 1; gzip_types text/plain; alias {place}/big; }}\n\
             location = /big {{ }}\n\
             location = /page {{ http2_push /ok; http2_push /missing; }}\n\
             location = /slow {{ limit_req zone=slow burst=9; alias {place}/page; }}\n"
        );
        let secure = match tls_port {
            Some(port) => {
                certify(folder.path())?;
                format!(
                    "server {{ listen 127.0.0.1:{port} ssl http2; ssl_certificate certificate; ssl_certificate_key key; {places} }}\n"
                )
            }
            None => String::new(),
        };
        let configuration = format!(
            "daemon off; worker_processes {workers}; pid {place}/pid; error_log stderr crit;\n\
             events {{ worker_connections 256; }}\n\
             http {{\n\
               access_log off; default_type text/plain;\n\
               client_body_temp_path {place}/body; proxy_temp_path {place}/proxy; fastcgi_temp_path {place}/fastcgi;\n\
               uwsgi_temp_path {place}/uwsgi; scgi_temp_path {place}/scgi;\n\
               limit_req_zone $server_port zone=slow:64k rate=10r/s;\n\
               server {{ listen 127.0.0.1:{port}; listen 127.0.0.1:{http2_port} http2; {places} }}\n\
               server {{ listen 127.0.0.1:{few_port} http2; keepalive_requests 4; {places} }}\n\
               {secure}\
             }}\n"
        );
        fs::write(folder.path().join("nginx.conf"), configuration)?;
        let mut command = program("nginx")?;
        command.args(["-p", &place.to_string(), "-c", "nginx.conf", "-e", "stderr"]);
        let mut process = Running::start(&mut command)?;
        process.wait_for_port(local(port))?;
        Ok(Self { process, port, http2_port, few_port, tls_port, _folder: folder })
    }
}
