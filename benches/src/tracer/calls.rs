//! A process whose system calls are timed.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};
use std::time::Instant;

use anyhow::{Context, Result};

/// What calls took, in nanoseconds each.
#[derive(Clone, Copy, Debug)]
pub(super) struct Taken {
    /// `write` and `read` of a byte on a connection, the mean of both.
    pub(super) socket: f64,
    /// `getppid`.
    pub(super) getppid: f64,
}

/// Calls of each kind in one round.
pub(super) const CALLS: u32 = 100_000;

/// A process that times rounds of calls when it is told to.
pub(super) struct Caller {
    child: Child,
    stdin: ChildStdin,
    stdout: BufReader<ChildStdout>,
}

impl Caller {
    pub(super) fn start() -> Result<Self> {
        let mut command = Command::new("taskset");
        command.args(["-c", "0"]).arg(std::env::current_exe()?).args(["job", "calls"]);
        let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().context("taskset")?;
        let (stdin, stdout) = (child.stdin.take().context("stdin")?, child.stdout.take().context("stdout")?);
        Ok(Self { child, stdin, stdout: BufReader::new(stdout) })
    }

    pub(super) fn pid(&self) -> u32 {
        self.child.id()
    }

    /// One round.
    pub(super) fn time(&mut self) -> Result<Taken> {
        writeln!(self.stdin, "go")?;
        let mut line = String::new();
        self.stdout.read_line(&mut line)?;
        let (socket, getppid) = line.trim().split_once(' ').context("it told nothing")?;
        Ok(Taken { socket: socket.parse()?, getppid: getppid.parse()? })
    }
}

impl Drop for Caller {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// The process itself: a round for each line it is told, answered by a line with what its calls took.
///
/// # Errors
/// When there is no connection to be had.
pub fn answer() -> Result<()> {
    let listener = TcpListener::bind("127.0.0.1:0")?;
    let mut client = TcpStream::connect(listener.local_addr()?)?;
    let (mut server, _) = listener.accept()?;
    client.set_nodelay(true)?;
    let mut byte = [0];
    for line in std::io::stdin().lines() {
        line?;
        let begin = Instant::now();
        for _ in 0..CALLS / 2 {
            client.write_all(&byte)?;
            server.read_exact(&mut byte)?;
        }
        let socket = begin.elapsed();
        let begin = Instant::now();
        for _ in 0..CALLS {
            std::hint::black_box(std::os::unix::process::parent_id());
        }
        let getppid = begin.elapsed();
        let each = |taken: std::time::Duration| taken.as_nanos() as f64 / f64::from(CALLS);
        println!("{:.1} {:.1}", each(socket), each(getppid));
    }
    Ok(())
}
