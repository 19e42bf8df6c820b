//! PostgreSQL with psql, pgbench and libpq.

use anyhow::Result;
use xtask::capture::capture;
use xtask::servers::PostgreSql;

use super::scripts::{python, python_joined};
use super::{Files, WHOLE};

pub(super) fn postgresql(files: &Files) -> Result<()> {
    let server = PostgreSql::start()?;
    capture(&files.capture, &[server.port], WHOLE, || {
        python("postgresql", include_str!("postgresql.py"), server.port, &files.log)
    })
}

pub(super) fn postgresql_asyncpg(files: &Files) -> Result<()> {
    let server = PostgreSql::start()?;
    capture(&files.capture, &[server.port], WHOLE, || {
        python("postgresql_asyncpg", include_str!("postgresql_asyncpg.py"), server.port, &files.log)
    })
}

pub(super) fn postgresql_cut(files: &Files) -> Result<()> {
    let server = PostgreSql::start()?;
    python_joined(
        "postgresql_cut",
        include_str!("postgresql_cut.py"),
        files,
        WHOLE,
        &[server.port],
        server.process.pid(),
    )
}

pub(super) fn postgresql_tls(files: &Files) -> Result<()> {
    let server = PostgreSql::start_with_tls()?;
    capture(&files.capture, &[server.port], WHOLE, || {
        python("postgresql_tls", include_str!("postgresql_tls.py"), server.port, &files.log)
    })
}
