//! Child processes that end with the value that stands for them.

use std::io;
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::path::PathBuf;
use std::process::{Child, Command, ExitStatus};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};

/// How long a program may take to begin answering.
const PATIENCE: Duration = Duration::from_secs(60);

/// A running program. Dropping it asks it to end, and ends it if it does not.
#[derive(Debug)]
pub struct Running {
    child: Child,
    name: String,
}

impl Running {
    /// Starts a program.
    ///
    /// # Errors
    /// When it cannot be started.
    pub fn start(command: &mut Command) -> Result<Self> {
        let name = command.get_program().to_string_lossy().into_owned();
        let child = command.spawn().with_context(|| format!("cannot start {name}"))?;
        Ok(Self { child, name })
    }

    /// Its process id.
    #[must_use]
    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// Waits until something accepts connections at `address`.
    ///
    /// # Errors
    /// When the program ends before, or takes longer than a minute.
    pub fn wait_for_port(&mut self, address: SocketAddr) -> Result<()> {
        self.wait_until(|| TcpStream::connect_timeout(&address, Duration::from_millis(200)).is_ok())
    }

    /// Waits until `ready` holds.
    ///
    /// # Errors
    /// When the program ends before, or takes longer than a minute.
    pub fn wait_until(&mut self, mut ready: impl FnMut() -> bool) -> Result<()> {
        let begin = Instant::now();
        while !ready() {
            if let Some(status) = self.child.try_wait()? {
                bail!("{} ended before it was ready: {status}", self.name);
            }
            if begin.elapsed() > PATIENCE {
                bail!("{} was not ready after {} s", self.name, PATIENCE.as_secs());
            }
            std::thread::sleep(Duration::from_millis(20));
        }
        Ok(())
    }

    /// Whether it has ended, and how.
    ///
    /// # Errors
    /// When the system will not say.
    pub fn ended(&mut self) -> io::Result<Option<ExitStatus>> {
        self.child.try_wait()
    }

    /// Asks it to end and waits until it has.
    ///
    /// # Errors
    /// When it cannot be waited for.
    pub fn stop(&mut self) -> io::Result<ExitStatus> {
        if self.child.try_wait()?.is_none() {
            signal(self.child.id(), "TERM");
        }
        let begin = Instant::now();
        loop {
            if let Some(status) = self.child.try_wait()? {
                return Ok(status);
            }
            if begin.elapsed() > Duration::from_secs(10) {
                self.child.kill()?;
            }
            std::thread::sleep(Duration::from_millis(10));
        }
    }

    /// Ends it at once, as `kill -9` does.
    ///
    /// # Errors
    /// When it cannot be waited for.
    pub fn kill(&mut self) -> io::Result<ExitStatus> {
        self.child.kill()?;
        self.child.wait()
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        // Nobody is left who could do something about an error.
        let _ = self.stop();
    }
}

/// Sends a signal to a process by the tool every system has.
pub fn signal(pid: u32, name: &str) {
    let _ = Command::new("kill").args([format!("-{name}"), pid.to_string()]).status();
}

/// A port of the loopback interface that was free a moment ago.
///
/// # Errors
/// When there is none.
pub fn free_port() -> Result<u16> {
    Ok(TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?.local_addr()?.port())
}

/// Where things are kept that are fetched once, outside of the working copy.
///
/// # Errors
/// When there is no home, or nothing can be written there.
pub fn cache() -> Result<PathBuf> {
    let given = std::env::var_os("XDG_CACHE_HOME").map(PathBuf::from);
    let home = || std::env::var_os("HOME").map(|home| PathBuf::from(home).join(".cache"));
    let cache = given.or_else(home).context("neither XDG_CACHE_HOME nor HOME is set")?.join("metaflow");
    std::fs::create_dir_all(&cache).with_context(|| cache.display().to_string())?;
    Ok(cache)
}

/// Where a program is found, if it is. Debian keeps the programs of each version of PostgreSQL in a folder of its own.
#[must_use]
pub fn find(program: &str) -> Option<PathBuf> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let places = std::env::split_paths(&path).chain(["/usr/sbin", "/usr/local/sbin", "/sbin"].map(Into::into));
    let versions = std::fs::read_dir("/usr/lib/postgresql").into_iter().flatten().flatten();
    let places = places.chain(versions.map(|version| version.path().join("bin")));
    places.map(|place| place.join(program)).find(|file| file.is_file())
}
