//! BIND with zones of its own.

use std::fs;

use anyhow::Result;
use tempfile::TempDir;

use super::{local, program};
use crate::child::{Running, free_port};

/// Zone `shop.test`: a record of every kind, a name with more than 512 bytes of answer, and enough names for a transfer in several
/// messages.
const ZONE: &str = "\
$TTL 300
@ SOA ns hostmaster 7 3600 600 86400 60
@ NS ns
@ MX 10 mail
@ TXT \"v=spf1 -all\" \"a \\\"b\\\"\"
@ CAA 0 issue \"ca.test\"
ns A 127.0.0.1
mail A 10.1.2.5
www A 10.1.2.3
www A 10.1.2.4
www AAAA fd00::3
orders CNAME www
_http._tcp SRV 10 5 80 www
api HTTPS 1 www alpn=\"h2,h3\" port=8443
_dns SVCB 1 www alpn=\"dot\"
sip NAPTR 10 20 \"u\" \"SIP+D2U\" \"\" _sip._udp
_443._tcp.www TLSA 3 1 1 00112233445566778899aabbccddeeff00112233445566778899aabbccddeeff
host SSHFP 1 2 00112233445566778899aabbccddeeff00112233445566778899aabbccddeeff
loc LOC 52 22 23.000 N 4 53 32.000 E -2.00m 0.00m 10000m 10m
old DNAME www
*.wild A 10.1.2.9
";

/// A running BIND.
#[derive(Debug)]
pub struct Bind {
    /// The running program.
    pub process: Running,
    /// Its port, UDP and TCP.
    pub port: u16,
    _folder: TempDir,
}

impl Bind {
    /// Starts one and waits until it answers. It knows the zone `shop.test`, has lost the zone `broken.test`, refuses everything else, and
    /// never answers 127.0.0.2.
    ///
    /// # Errors
    /// When it is not installed or does not start.
    pub fn start() -> Result<Self> {
        let (folder, port) = (TempDir::new()?, free_port()?);
        let place = folder.path().display();
        let long: String = (0..12).map(|number| format!("big TXT \"{number} {}\"\n", "x".repeat(90))).collect();
        let many: String = (0..600).map(|number| format!("n{number} TXT \"{}\"\n", "y".repeat(100))).collect();
        fs::write(folder.path().join("zone"), format!("{ZONE}{long}{many}"))?;
        let configuration = format!(
            "options {{ directory \"{place}\"; listen-on port {port} {{ 127.0.0.1; }}; listen-on-v6 {{ none; }}; pid-file \"pid\";\n\
             session-keyfile \"key\"; recursion no; dnssec-validation no; blackhole {{ 127.0.0.2; }}; allow-transfer {{ any; }};\n\
             minimal-responses no; minimal-any no; notify no; version \"test\"; }};\n\
             controls {{ }};\n\
             zone \"shop.test\" {{ type primary; file \"zone\"; }};\n\
             zone \"broken.test\" {{ type primary; file \"none\"; }};\n"
        );
        fs::write(folder.path().join("named.conf"), configuration)?;
        let mut command = program("named")?;
        command.args(["-f", "-n", "1", "-c"]).arg(folder.path().join("named.conf"));
        let mut process = Running::start(&mut command)?;
        process.wait_for_port(local(port))?;
        Ok(Self { process, port, _folder: folder })
    }
}
