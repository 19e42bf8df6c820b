//! `cargo xtask record`: the project's own captures, from real servers and clients.

mod dns;
mod dubbo;
mod grpc;
mod http1;
mod http2;
mod kafka;
mod mysql;
mod postgresql;
mod redis;
mod scripts;
mod shop;

use std::path::PathBuf;

use anyhow::{Result, ensure};
use clap::Args;
use xtask::packages::{self, RECORDINGS as TOOLS, TESTS, WORKLOAD};

/// What to record.
#[derive(Debug, Args)]
pub(crate) struct Options {
    /// Recordings to make anew; all, if none is named
    names: Vec<String>,
}

/// A recording: its name, and what makes its traffic between the start and the end of the capture.
type Recording = (&'static str, fn(&Files) -> Result<()>);

const RECORDINGS: &[Recording] = &[
    ("http1", http1::http1),
    ("http1_cut", http1::http1_cut),
    ("websocket", http1::websocket),
    ("http2", http2::http2),
    ("http2_cut", http2::http2_cut),
    ("http2_upgrade", http2::http2_upgrade),
    ("grpc", grpc::grpc),
    ("grpc_cut", grpc::grpc_cut),
    ("dubbo", dubbo::dubbo),
    ("dubbo_cut", dubbo::dubbo_cut),
    ("redis", redis::redis),
    ("redis_cut", redis::redis_cut),
    ("redis_client", redis::redis_client),
    ("mysql", mysql::mysql),
    ("mysql_cut", mysql::mysql_cut),
    ("mysql_tls", mysql::mysql_tls),
    ("mysql_huge", mysql::mysql_huge),
    ("mysql_prepared", mysql::mysql_prepared),
    ("postgresql", postgresql::postgresql),
    ("postgresql_cut", postgresql::postgresql_cut),
    ("postgresql_tls", postgresql::postgresql_tls),
    ("postgresql_asyncpg", postgresql::postgresql_asyncpg),
    ("kafka", kafka::kafka),
    ("kafka_librdkafka", kafka::kafka_librdkafka),
    ("kafka_kcat", kafka::kafka_kcat),
    ("kafka_cut", kafka::kafka_cut),
    ("dns", dns::dns),
    ("dns_bind", dns::dns_bind),
    ("mdns", dns::mdns),
    ("shop", shop::shop),
];
/// Where they are kept, seen from the project's folder.
const FOLDER: &str = "bins/agent/testdata";
/// Bytes kept of a packet: bodies are not what the recordings are about.
const KEPT: u32 = 1024;

/// A pipeline in one segment; of longer bodies the beginning.
const PIPELINE: u32 = 9000;

/// Everything of a packet, where headers stand behind bodies and what one says depends on those before.
const WHOLE: u32 = 65_536 + 14;

/// What a recording leaves.
#[derive(Debug)]
struct Files {
    capture: PathBuf,
    /// What the client did, as the client saw it, one object a line: the truth that the calls in the capture are compared with.
    log: PathBuf,
}

pub(crate) fn run(options: &Options) -> Result<()> {
    ensure!(packages::is_root(), "only root may capture packets");
    for tools in [WORKLOAD, TESTS, TOOLS] {
        packages::install(tools)?;
    }
    for name in &options.names {
        let known: Vec<_> = RECORDINGS.iter().map(|(known, _)| *known).collect();
        ensure!(known.contains(&name.as_str()), "there is no recording {name}, but {}", known.join(", "));
    }
    let mut skipped = Vec::new();
    for (name, record) in RECORDINGS {
        if !options.names.is_empty() && !options.names.iter().any(|wanted| wanted == name) {
            continue;
        }
        let folder = xtask::build::root().join(FOLDER);
        let files =
            Files { capture: folder.join(format!("{name}.pcap")), log: folder.join(format!("{name}.client.jsonl")) };
        match record(&files) {
            Ok(()) => println!("{}: {} bytes", files.capture.display(), files.capture.metadata()?.len()),
            Err(error) => {
                println!("skipped: {name}: {error:#}");
                skipped.push(*name);
            }
        }
    }
    println!("now bless what is read out of them: METAFLOW_BLESS=1 cargo test -p metaflow-agent --test it recordings");
    ensure!(skipped.is_empty(), "not recorded: {}", skipped.join(", "));
    Ok(())
}
