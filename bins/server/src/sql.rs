use std::io::{IsTerminal, Write};

use arrow_array::RecordBatch;
use arrow_schema::SchemaRef;
use futures::TryStreamExt;
use http_body_util::BodyExt;
use hyper::{Request, header};
use hyper_util::rt::TokioIo;
use tokio::net::TcpStream;

use crate::cli::{OutputFormat, SqlOptions};
use crate::failure::Failure;
use crate::http::{RowFormat, write_rows};
use crate::server::{Config, Limits, Server};
use crate::store::StoreAt;

/// `metaflow-server sql`: one question, answered by a running server or from a directory.
///
/// # Errors
/// When there is no answer.
pub async fn sql(options: SqlOptions) -> Result<(), Failure> {
    let terminal = std::io::stdout().is_terminal();
    let format = options.output.unwrap_or(if terminal { OutputFormat::Table } else { OutputFormat::Csv });
    let work = async {
        match &options.data {
            Some(directory) => from_directory(directory.clone(), &options.statement, format).await,
            None => from_server(&options.server, &options.statement, format).await,
        }
    };
    tokio::select! {
        done = work => done,
        _ = tokio::signal::ctrl_c() => Err(Failure::interrupted()),
    }
}

fn print(answer: &[u8]) -> Result<(), Failure> {
    match std::io::stdout().write_all(answer) {
        // Whoever reads had enough.
        Err(error) if error.kind() == std::io::ErrorKind::BrokenPipe => Ok(()),
        written => written.map_err(Failure::from_io),
    }
}

async fn from_directory(directory: std::path::PathBuf, statement: &str, format: OutputFormat) -> Result<(), Failure> {
    // Opening makes a store; asking must not.
    if !directory.is_dir() {
        return Err(Failure::usage(format!("{} is no directory", directory.display())));
    }
    let config = Config {
        store: StoreAt::directory(directory),
        listen: None,
        listen_postgres: None,
        insecure: false,
        limits: Limits::default(),
    };
    let server = Server::start(config).await?;
    let answer = server.engine().query(statement).await.map_err(|error| Failure::query(&error))?;
    let schema = answer.schema().clone();
    let batches: Vec<RecordBatch> = answer.try_collect().await.map_err(|error| Failure::query(&error))?;
    let written = write(format, &schema, &batches);
    server.stop().await;
    print(&written?)
}

fn write(format: OutputFormat, schema: &SchemaRef, batches: &[RecordBatch]) -> Result<Vec<u8>, Failure> {
    let format = match format {
        OutputFormat::Table => RowFormat::Table,
        OutputFormat::Csv => RowFormat::Csv,
        OutputFormat::Json => RowFormat::Json,
        OutputFormat::Jsonl => RowFormat::JsonLines,
    };
    write_rows(format, schema, batches).map_err(|error| Failure::unavailable(error.to_string()))
}

async fn from_server(server: &str, statement: &str, format: OutputFormat) -> Result<(), Failure> {
    let away = |error: &dyn std::fmt::Display| {
        Failure::unavailable(format!(
            "no server answers at {server} ({error}): start one with metaflow-server run, or say --server or --data"
        ))
    };
    let stream = TcpStream::connect(server).await.map_err(|error| away(&error))?;
    let (mut sender, connection) =
        hyper::client::conn::http1::handshake(TokioIo::new(stream)).await.map_err(|error| away(&error))?;
    tokio::spawn(connection);
    let name = match format {
        OutputFormat::Table => "table",
        OutputFormat::Csv => "csv",
        OutputFormat::Json => "json",
        OutputFormat::Jsonl => "jsonl",
    };
    let request = Request::post(format!("/sql?format={name}"))
        .header(header::HOST, server)
        .header(header::CONTENT_TYPE, "text/plain")
        .body(statement.to_owned())
        .map_err(|error| Failure::usage(error.to_string()))?;
    let response = sender.send_request(request).await.map_err(|error| away(&error))?;
    let status = response.status();
    let mut body = response.into_body();
    if status.is_success() {
        while let Some(frame) = body.frame().await {
            let frame = frame.map_err(|_| Failure::unavailable("the answer broke off: the server's log says why"))?;
            print(frame.data_ref().map_or(&[], |data| data))?;
        }
        return Ok(());
    }
    let body = body.collect().await.map_err(|error| away(&error))?.to_bytes();
    let explained: serde_json::Value = serde_json::from_slice(&body).unwrap_or_default();
    let text = explained["error"].as_str().map_or_else(|| format!("{server} answers {status}"), str::to_owned);
    Err(if status.is_client_error() { Failure::usage(text) } else { Failure::unavailable(text) })
}
