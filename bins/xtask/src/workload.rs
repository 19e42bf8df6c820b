//! A small real workload on the loopback interface: a shop of Debian's servers, or a server of our own where they are not there.

mod own;

pub use own::OwnServer;

use std::io::Write;
use std::process::{Command, Stdio};

use anyhow::{Context, Result};

use crate::child::find;
use crate::packages::{self, WORKLOAD};
use crate::servers::{Dnsmasq, MariaDb, Nginx, Redis};

/// Servers that run, and what their clients do.
#[derive(Debug)]
pub enum Workload {
    /// Debian's servers and clients.
    Debian(Box<Shop>),
    /// A small HTTP server of our own.
    Own(OwnServer),
}

/// A web shop: pages, a cache, a database, names.
#[derive(Debug)]
pub struct Shop {
    web: Nginx,
    cache: Redis,
    database: MariaDb,
    names: Dnsmasq,
}

impl Workload {
    /// Starts the servers, Debian's if all of them are there.
    ///
    /// # Errors
    /// When one does not start.
    pub fn start() -> Result<Self> {
        if packages::missing(WORKLOAD).is_empty() {
            return Shop::start().map(Box::new).map(Self::Debian);
        }
        OwnServer::start().map(Self::Own)
    }

    /// What runs, for people.
    #[must_use]
    pub fn describe(&self) -> String {
        match self {
            Self::Debian(shop) => format!(
                "nginx on port {} and with TLS on {}, Redis on {}, MariaDB on {}, dnsmasq on {}",
                shop.web.port,
                shop.web.tls_port.unwrap_or_default(),
                shop.cache.port,
                shop.database.port,
                shop.names.port
            ),
            Self::Own(server) => format!("a small HTTP server on port {}", server.port()),
        }
    }

    /// The ports of the servers, but for those that speak TLS.
    #[must_use]
    pub fn ports(&self) -> Vec<u16> {
        match self {
            Self::Debian(shop) => vec![shop.web.port, shop.cache.port, shop.database.port, shop.names.port],
            Self::Own(server) => vec![server.port()],
        }
    }

    /// Lets the clients work for about a second.
    ///
    /// # Errors
    /// When one cannot be started, or its server is gone.
    pub fn round(&self, number: u32) -> Result<()> {
        match self {
            Self::Debian(shop) => shop.round(number),
            Self::Own(server) => server.round(number),
        }
    }
}

impl Shop {
    /// Starts the servers and fills the database.
    ///
    /// # Errors
    /// When one does not start.
    pub fn start() -> Result<Self> {
        let shop = Self {
            web: Nginx::start_with_tls()?,
            cache: Redis::start()?,
            database: MariaDb::start()?,
            names: Dnsmasq::start()?,
        };
        shop.sql("CREATE TABLE orders (id INT PRIMARY KEY AUTO_INCREMENT, customer VARCHAR(40), total DECIMAL(8,2))")?;
        Ok(shop)
    }

    fn round(&self, number: u32) -> Result<()> {
        for name in ["shop.test", "orders.test", if number.is_multiple_of(3) { "none.test" } else { "db.test" }] {
            let port = self.names.port.to_string();
            quiet("dig", &["@127.0.0.1", "-p", &port, "+tries=1", "+time=1", name])?;
        }
        let base = format!("http://127.0.0.1:{}", self.web.port);
        let order = number * 20;
        // One connection, kept open.
        let pages = ["ok".to_owned(), format!("orders/[{order}-{}]?page=2&token=secret", order + 19), "big".to_owned()];
        let pages: Vec<_> = pages.iter().map(|page| format!("{base}/{page}")).collect();
        quiet("curl", &["-s", "-o", "/dev/null", "-A", "shop/1.0", &pages[0], &pages[1], &pages[2]])?;
        if number.is_multiple_of(2) {
            quiet("curl", &["-s", "-o", "/dev/null", &format!("{base}/missing"), &format!("{base}/broken")])?;
        }
        if let Some(port) = self.web.tls_port {
            let pages = format!("https://127.0.0.1:{port}/orders/[{order}-{}]?token=secret", order + 4);
            quiet("curl", &["-s", "-k", "-o", "/dev/null", "-A", "shop/1.0", &pages])?;
        }
        let port = self.cache.port.to_string();
        feed(
            Command::new("redis-cli").args(["-p", &port]),
            &format!(
                "SET cart:{number} 3\nGET cart:{number}\nINCR orders\nLPUSH orders oops\nEXPIRE cart:{number} 60\n"
            ),
        )?;
        quiet("redis-benchmark", &["-p", &port, "-q", "-n", "60", "-c", "2", "-P", "3", "-t", "set,get"])?;
        self.sql(&format!(
            "INSERT INTO orders (customer, total) VALUES ('customer-{number}', {number}.50);
             SELECT count(*) FROM orders WHERE total > 1.5;
             SELECT customer FROM orders ORDER BY id DESC LIMIT 5;
             SELECT sleep(0.02);
             {}",
            if number.is_multiple_of(4) { "SELECT price FROM orders;" } else { "" }
        ))
    }

    fn sql(&self, statements: &str) -> Result<()> {
        feed(self.database.client()?.args(["--force", "shop"]), statements)
    }
}

/// Runs a client to its end; what it says does not matter, its server may answer with an error on purpose.
///
/// # Errors
/// When it cannot be started.
pub fn quiet(program: &str, arguments: &[&str]) -> Result<()> {
    let file = find(program).with_context(|| format!("{program} is not installed"))?;
    let mut command = Command::new(file);
    command.args(arguments).stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
    command.status().with_context(|| format!("cannot run {program}"))?;
    Ok(())
}

/// The same with something on its standard input.
///
/// # Errors
/// When it cannot be started, or does not read.
pub fn feed(command: &mut Command, input: &str) -> Result<()> {
    let mut child = command.stdin(Stdio::piped()).stdout(Stdio::null()).stderr(Stdio::null()).spawn()?;
    if let Some(mut stdin) = child.stdin.take() {
        stdin.write_all(input.as_bytes())?;
    }
    child.wait()?;
    Ok(())
}
