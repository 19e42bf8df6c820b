use std::fmt::Debug;
use std::sync::Arc;

use async_trait::async_trait;
use futures::{Sink, StreamExt};
use metaflow_query::{Answer, Prepared, QueryEngine, QueryError, Statement, StatementKind};
use pgwire::api::auth::noop::NoopStartupHandler;
use pgwire::api::portal::{Format, Portal};
use pgwire::api::query::{ExtendedQueryHandler, SimpleQueryHandler};
use pgwire::api::results::{FieldInfo, QueryResponse, Response, Tag};
use pgwire::api::stmt::QueryParser;
use pgwire::api::store::PortalStore;
use pgwire::api::{ClientInfo, ClientPortalStore, Type};
use pgwire::error::{ErrorInfo, PgWireError, PgWireResult};
use pgwire::messages::PgWireBackendMessage;

use super::cancel::{Cancel, Run, Running};
use super::{parameters, rows, types};

/// What every connection shares.
#[derive(Debug)]
pub(super) struct Handlers {
    pub(super) session: Arc<Session>,
    pub(super) cancel: Arc<Cancel>,
}

impl Handlers {
    pub(super) fn new(engine: Arc<QueryEngine>) -> Self {
        let running = Arc::new(Running::default());
        let parser = Arc::new(Parser { engine: Arc::clone(&engine) });
        Self {
            session: Arc::new(Session { engine, parser, running: Arc::clone(&running) }),
            cancel: Arc::new(Cancel(running)),
        }
    }
}

/// Answers statements.
#[derive(Debug)]
pub(super) struct Session {
    engine: Arc<QueryEngine>,
    parser: Arc<Parser>,
    running: Arc<Running>,
}

/// A prepared statement of a client.
#[derive(Debug, Clone)]
pub(super) struct Planned {
    kind: StatementKind,
    /// Only for questions.
    prepared: Option<Prepared>,
}

#[derive(Debug)]
pub(super) struct Parser {
    engine: Arc<QueryEngine>,
}

/// Nobody is asked for a password yet: the port is on loopback unless the operator insists.
#[async_trait]
impl NoopStartupHandler for Session {
    async fn post_startup<C>(&self, client: &mut C, _: pgwire::messages::PgWireFrontendMessage) -> PgWireResult<()>
    where
        C: ClientInfo + Sink<PgWireBackendMessage> + Unpin + Send,
        C::Error: Debug,
        PgWireError: From<<C as Sink<PgWireBackendMessage>>::Error>,
    {
        let said = |key: &str| client.metadata().get(key).map_or("metaflow", String::as_str);
        for (what, name, code) in [("database", said("database"), "3D000"), ("role", said("user"), "28000")] {
            if name != "metaflow" {
                let name: String = name.chars().take(64).collect();
                let text = format!("{what} \"{name}\" does not exist: user and database are both metaflow");
                return Err(PgWireError::UserError(Box::new(ErrorInfo::new("FATAL".into(), code.into(), text))));
            }
        }
        Ok(())
    }
}

#[async_trait]
impl SimpleQueryHandler for Session {
    async fn do_query<C>(&self, client: &mut C, sql: &str) -> PgWireResult<Vec<Response>>
    where
        C: ClientInfo + ClientPortalStore + Sink<PgWireBackendMessage> + Unpin + Send + Sync,
        C::PortalStore: PortalStore,
        C::Error: Debug,
        PgWireError: From<<C as Sink<PgWireBackendMessage>>::Error>,
    {
        let run = Arc::new(self.running.begin(client.pid_and_secret_key()));
        let statements = self.engine.parse(sql).map_err(|error| explain(&error, sql))?;
        if statements.is_empty() {
            return Ok(vec![Response::EmptyQuery]);
        }
        let mut responses = Vec::new();
        for statement in &statements {
            responses.push(match session_response(&statement.kind()) {
                Some(response) => response,
                None => self.answer(statement, sql, &run).await?,
            });
        }
        Ok(responses)
    }
}

impl Session {
    async fn answer(&self, statement: &Statement, sql: &str, run: &Arc<Run>) -> PgWireResult<Response> {
        let explain = |error: QueryError| explain(&error, sql);
        let prepared = until_cancelled(run, self.engine.prepare(statement)).await?.map_err(explain)?;
        let answer = until_cancelled(run, self.engine.run(&prepared, Vec::new())).await?.map_err(explain)?;
        let fields = types::fields(answer.schema(), None);
        Ok(response(answer, fields, Arc::clone(run), sql))
    }
}

#[async_trait]
impl ExtendedQueryHandler for Session {
    type Statement = Planned;
    type QueryParser = Parser;

    fn query_parser(&self) -> Arc<Parser> {
        Arc::clone(&self.parser)
    }

    async fn do_query<C>(&self, client: &mut C, portal: &Portal<Planned>, _: usize) -> PgWireResult<Response>
    where
        C: ClientInfo + ClientPortalStore + Sink<PgWireBackendMessage> + Unpin + Send + Sync,
        C::PortalStore: PortalStore<Statement = Planned>,
        C::Error: Debug,
        PgWireError: From<<C as Sink<PgWireBackendMessage>>::Error>,
    {
        let Planned { kind, prepared } = &portal.statement.statement;
        let Some(prepared) = prepared else {
            return Ok(session_response(kind).unwrap_or(Response::EmptyQuery));
        };
        let run = Arc::new(self.running.begin(client.pid_and_secret_key()));
        let wanted = prepared.parameters();
        let declared = &portal.statement.parameter_types;
        if portal.parameters.len() != wanted.len() {
            let text = format!("the statement has {} parameters, not {}", wanted.len(), portal.parameters.len());
            return Err(user_error("08P01", text));
        }
        let mut values = Vec::with_capacity(wanted.len());
        for (place, (bytes, wanted)) in portal.parameters.iter().zip(wanted).enumerate() {
            let binary = match &portal.parameter_format {
                Format::Individual(codes) => codes.get(place).is_some_and(|code| *code == 1),
                Format::UnifiedBinary => true,
                Format::UnifiedText => false,
            };
            let declared = declared.get(place).and_then(Option::as_ref);
            let value = parameters::value(bytes.as_ref(), binary, declared, wanted.as_ref());
            values.push(value.map_err(|text| user_error("22P02", format!("${}: {text}", place + 1)))?);
        }
        let answer =
            until_cancelled(&run, self.engine.run(prepared, values)).await?.map_err(|error| explain(&error, ""))?;
        // The columns as described before: running may know a type more closely, which the client would not expect.
        let fields = types::fields(prepared.schema(), Some(&portal.result_column_format));
        Ok(response(answer, fields, run, ""))
    }
}

#[async_trait]
impl QueryParser for Parser {
    type Statement = Planned;

    async fn parse_sql<C>(&self, _: &C, sql: &str, _: &[Option<Type>]) -> PgWireResult<Option<Planned>>
    where
        C: ClientInfo + Unpin + Send + Sync,
    {
        let mut statements = self.engine.parse(sql).map_err(|error| explain(&error, sql))?;
        let Some(statement) = statements.pop() else { return Ok(None) };
        if !statements.is_empty() {
            return Err(user_error("42601", "cannot insert multiple commands into a prepared statement".to_owned()));
        }
        let kind = statement.kind();
        if session_response(&kind).is_some() {
            return Ok(Some(Planned { kind, prepared: None }));
        }
        let prepared = self.engine.prepare(&statement).await.map_err(|error| explain(&error, sql))?;
        Ok(Some(Planned { kind, prepared: Some(prepared) }))
    }

    fn get_parameter_types(&self, statement: &Planned) -> PgWireResult<Vec<Type>> {
        let wanted = statement.prepared.as_ref().map_or(&[][..], Prepared::parameters);
        Ok(wanted.iter().map(|wanted| wanted.as_ref().map_or(Type::TEXT, types::type_of)).collect())
    }

    fn get_result_schema(&self, statement: &Planned, format: Option<&Format>) -> PgWireResult<Vec<FieldInfo>> {
        Ok(match (&statement.prepared, &statement.kind) {
            (Some(prepared), _) => types::fields(prepared.schema(), format),
            (None, StatementKind::Show(name)) => vec![shown_field(name)],
            (None, _) => Vec::new(),
        })
    }
}

fn response(answer: Answer, fields: Vec<FieldInfo>, run: Arc<Run>, sql: &str) -> Response {
    let fields = Arc::new(fields);
    let (shared, sql) = (Arc::clone(&fields), sql.to_owned());
    let token = run.token.clone();
    let batches = answer.take_until(async move { token.cancelled().await });
    let rows = batches.map(move |batch| {
        let rows = batch
            .map_err(|error| explain(&error, &sql))
            .and_then(|batch| rows::encode(&batch, &shared).map_err(|error| user_error("22003", error.to_string())));
        match rows {
            Ok(rows) => futures::stream::iter(rows.into_iter().map(Ok).collect::<Vec<_>>()),
            Err(error) => futures::stream::iter(vec![Err(error)]),
        }
    });
    // After the rows: whether they ended by themselves. The run is known until then.
    let end = futures::stream::once(async move { run.token.is_cancelled().then_some(Err(cancelled())) });
    Response::Query(QueryResponse::new(fields, rows.flatten().chain(end.filter_map(futures::future::ready))))
}

async fn until_cancelled<T>(run: &Run, work: impl Future<Output = T>) -> PgWireResult<T> {
    tokio::select! {
        done = work => Ok(done),
        () = run.token.cancelled() => Err(cancelled()),
    }
}

/// What a connection does without a question. Nothing is ever written, so transactions and settings need no more than their answer.
fn session_response(kind: &StatementKind) -> Option<Response> {
    Some(match kind {
        StatementKind::Begin => Response::TransactionStart(Tag::new("BEGIN")),
        StatementKind::Commit => Response::TransactionEnd(Tag::new("COMMIT")),
        StatementKind::Rollback => Response::TransactionEnd(Tag::new("ROLLBACK")),
        StatementKind::Set => Response::Execution(Tag::new("SET")),
        StatementKind::Discard => Response::Execution(Tag::new("DISCARD ALL")),
        StatementKind::Show(name) => {
            let value = setting(name)?;
            let fields = Arc::new(vec![shown_field(name)]);
            let mut data = bytes::BytesMut::new();
            bytes::BufMut::put_i32(&mut data, i32::try_from(value.len()).unwrap_or(0));
            data.extend_from_slice(value.as_bytes());
            let row = pgwire::messages::data::DataRow::new(data, 1);
            Response::Query(QueryResponse::new(fields, futures::stream::iter([Ok(row)])))
        }
        _ => return None,
    })
}

fn shown_field(name: &str) -> FieldInfo {
    FieldInfo::new(name.to_owned(), None, None, Type::TEXT, pgwire::api::results::FieldFormat::Text)
}

/// Settings that clients look at when they connect.
fn setting(name: &str) -> Option<&'static str> {
    Some(match name {
        "server_version" => "16.6",
        "server_version_num" => "160006",
        "server_encoding" | "client_encoding" => "UTF8",
        "standard_conforming_strings" | "integer_datetimes" => "on",
        "transaction_isolation" | "transaction_isolation_level" | "default_transaction_isolation" => "repeatable read",
        "transaction_read_only" | "default_transaction_read_only" => "on",
        "timezone" => "UTC",
        "datestyle" => "ISO, MDY",
        "search_path" => "public",
        "max_identifier_length" => "63",
        _ => return None,
    })
}

fn user_error(code: &str, text: String) -> PgWireError {
    PgWireError::UserError(Box::new(ErrorInfo::new("ERROR".to_owned(), code.to_owned(), text)))
}

fn cancelled() -> PgWireError {
    user_error("57014", "canceling statement due to user request".to_owned())
}

/// With the place as PostgreSQL counts it: characters from the start of the text, so that psql shows the line with a mark under it.
fn explain(error: &QueryError, sql: &str) -> PgWireError {
    let mut info = ErrorInfo::new("ERROR".to_owned(), error.sqlstate().to_owned(), error.to_string());
    if let Some(position) = error.position() {
        let line = usize::try_from(position.line.saturating_sub(1)).unwrap_or(usize::MAX);
        let before: usize = sql.split_inclusive('\n').take(line).map(|line| line.chars().count()).sum();
        if !sql.is_empty() {
            info.position = Some((before as u64 + position.column).to_string());
        }
    }
    PgWireError::UserError(Box::new(info))
}
