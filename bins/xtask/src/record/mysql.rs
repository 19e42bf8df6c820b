//! MariaDB with its command-line client, and with a client that prepares statements.

use anyhow::Result;
use xtask::capture::capture;
use xtask::servers::MariaDb;

use super::scripts::{python, python_joined};
use super::{Files, KEPT, WHOLE};

pub(super) fn mysql(files: &Files) -> Result<()> {
    let server = MariaDb::start()?;
    capture(&files.capture, &[server.port], KEPT, || {
        python("mysql_cli", include_str!("mysql_cli.py"), server.port, &files.log)
    })
}

pub(super) fn mysql_cut(files: &Files) -> Result<()> {
    let server = MariaDb::start()?;
    python_joined("mysql_cut", include_str!("mysql_cut.py"), files, WHOLE, &[server.port], server.process.pid())
}

pub(super) fn mysql_huge(files: &Files) -> Result<()> {
    let server = MariaDb::start()?;
    // Of each segment hardly more than its headers.
    capture(&files.capture, &[server.port], 400, || {
        python("mysql_huge", include_str!("mysql_huge.py"), server.port, &files.log)
    })
}

pub(super) fn mysql_prepared(files: &Files) -> Result<()> {
    let server = MariaDb::start()?;
    capture(&files.capture, &[server.port], WHOLE, || {
        python("mysql", include_str!("mysql.py"), server.port, &files.log)
    })
}

pub(super) fn mysql_tls(files: &Files) -> Result<()> {
    let server = MariaDb::start_with_tls()?;
    capture(&files.capture, &[server.port], WHOLE, || {
        python("mysql_tls", include_str!("mysql_tls.py"), server.port, &files.log)
    })
}
