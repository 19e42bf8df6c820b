use std::collections::BTreeMap;
use std::fmt;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use arrow_array::RecordBatch;
use arrow_schema::{DataType, SchemaRef};
use datafusion::catalog::{
    CatalogProvider, MemoryCatalogProvider, MemorySchemaProvider, SchemaProvider, TableProvider,
};
use datafusion::common::{DataFusionError, ParamValues, ScalarValue};
use datafusion::execution::disk_manager::{DiskManagerBuilder, DiskManagerMode};
use datafusion::execution::memory_pool::FairSpillPool;
use datafusion::execution::runtime_env::RuntimeEnvBuilder;
use datafusion::logical_expr::LogicalPlan;
use datafusion::prelude::{SQLOptions, SessionConfig, SessionContext};
use futures::{FutureExt, Stream, StreamExt};
use storage_api::{Storage, TableDefinition};
use tag_encoder::Writers;
use tokio::runtime::Handle;
use tokio::sync::{OwnedSemaphorePermit, Semaphore, mpsc, oneshot};
use tokio::task::JoinHandle;
use tokio::time::Sleep;

use crate::error::{Known, QueryError};
use crate::histogram::histogram_quantile;
use crate::limits::QueryLimits;
use crate::pg_catalog;
use crate::provider::NamedTable;
use crate::statement::{Statement, Words};
use crate::view::TableView;

/// Answers SQL over any [`Storage`]. Only reads.
pub struct QueryEngine {
    context: SessionContext,
    limits: QueryLimits,
    running: Arc<Semaphore>,
    runtime: Handle,
    known: Arc<Known>,
}

/// A statement with its parameters' types and the columns of its answer.
#[derive(Debug, Clone)]
pub struct Prepared {
    plan: LogicalPlan,
    words: Words,
    schema: SchemaRef,
    parameters: Vec<Option<DataType>>,
}

/// The rows of an answer as they come. Dropping it ends the query.
#[derive(Debug)]
pub struct Answer {
    schema: SchemaRef,
    batches: mpsc::Receiver<RecordBatch>,
    /// Ends with the error of the query, if it has one.
    task: AbortOnDrop<Result<(), QueryError>>,
    deadline: Pin<Box<Sleep>>,
    limits: QueryLimits,
    rows: usize,
    ended: bool,
}

impl fmt::Debug for QueryEngine {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("QueryEngine")
            .field("limits", &self.limits)
            .field("tables", &self.known.tables)
            .finish_non_exhaustive()
    }
}

impl QueryEngine {
    /// An engine over these tables of a store. Queries run on `runtime`, whose threads should have large stacks (16 MiB): a
    /// statement may nest deeply.
    ///
    /// # Errors
    /// When the engine cannot be set up, which only a fault of this program can cause.
    pub fn new(
        storage: &Arc<dyn Storage>,
        tables: impl IntoIterator<Item = TableDefinition>,
        names: &Writers,
        limits: QueryLimits,
        runtime: Handle,
    ) -> Result<Self, QueryError> {
        let internal = |error: DataFusionError| QueryError::Internal(error.to_string());
        let native = native_tables(storage);
        let schema = MemorySchemaProvider::new();
        let mut known = Known::default();
        for definition in tables {
            let name = definition.name().as_str().to_owned();
            let table = NamedTable {
                view: Arc::new(TableView::new(definition)),
                storage: Arc::clone(storage),
                native: native.get(&name).cloned(),
                names: names.clone(),
            };
            known.tables.push(name.clone());
            schema.register_table(name, Arc::new(table)).map_err(internal)?;
        }
        let mut config = SessionConfig::new()
            .with_default_catalog_and_schema("metaflow", "public")
            .with_create_default_catalog_and_schema(false)
            .with_information_schema(true);
        let options = config.options_mut();
        options.sql_parser.collect_spans = true;
        options.sql_parser.map_string_types_to_utf8view = false;
        // Spilling writes files where nobody expects them; a query that needs more memory is refused.
        let runtime_env = RuntimeEnvBuilder::new()
            .with_memory_pool(Arc::new(FairSpillPool::new(limits.memory_bytes)))
            .with_disk_manager_builder(DiskManagerBuilder::default().with_mode(DiskManagerMode::Disabled))
            .build_arc()
            .map_err(internal)?;
        let context = SessionContext::new_with_config_rt(config, runtime_env);
        let catalog = MemoryCatalogProvider::new();
        catalog.register_schema("public", Arc::new(schema)).map_err(internal)?;
        let system = pg_catalog::schema(&known.tables).map_err(internal)?;
        catalog.register_schema("pg_catalog", Arc::new(system)).map_err(internal)?;
        context.register_catalog("metaflow", Arc::new(catalog));
        context.register_udaf(histogram_quantile());
        pg_catalog::functions().into_iter().for_each(|function| context.register_udf(function));
        let state = context.state();
        known.functions.extend(state.scalar_functions().keys().cloned());
        known.functions.extend(state.aggregate_functions().keys().cloned());
        known.functions.extend(state.window_functions().keys().cloned());
        let running = Arc::new(Semaphore::new(limits.concurrent));
        Ok(Self { context, limits, running, runtime, known: Arc::new(known) })
    }

    /// The bounds of this engine.
    #[must_use]
    pub fn limits(&self) -> &QueryLimits {
        &self.limits
    }

    /// Reads the statements of a text; none in an empty one.
    ///
    /// # Errors
    /// When the text is too large or is not SQL.
    pub fn parse(&self, sql: &str) -> Result<Vec<Statement>, QueryError> {
        Statement::parse(sql, &self.limits)
    }

    /// Answers one statement. An empty text has an empty answer.
    ///
    /// # Errors
    /// See [`QueryError`]; what fails while rows come is an item of the answer.
    pub async fn query(&self, sql: &str) -> Result<Answer, QueryError> {
        let mut statements = self.parse(sql)?;
        match (statements.pop(), statements.is_empty()) {
            (Some(statement), true) => {
                let prepared = self.prepare(&statement).await?;
                self.run(&prepared, Vec::new()).await
            }
            (None, _) => Ok(self.empty()),
            (Some(_), false) => {
                Err(QueryError::Invalid { message: "one statement at a time".to_owned(), position: None })
            }
        }
    }

    /// Plans a statement: names are looked up and types settled, nothing is read yet.
    ///
    /// # Errors
    /// When names are unknown, types do not go together, or the statement would change something.
    pub async fn prepare(&self, statement: &Statement) -> Result<Prepared, QueryError> {
        let mut deadline = Box::pin(tokio::time::sleep(self.limits.timeout));
        let permit = self.turn(&mut deadline).await?;
        let (state, known) = (self.context.state(), Arc::clone(&self.known));
        let Statement { parsed, words } = statement.clone();
        // On the engine's own threads, for their stacks.
        let mut task = AbortOnDrop(self.runtime.spawn(async move {
            let _permit = permit;
            let explain = |error: DataFusionError| QueryError::from_engine(&error, &|word| words.find(word), &known);
            let plan = state.statement_to_plan(parsed).await.map_err(explain)?;
            let options = SQLOptions::new().with_allow_ddl(false).with_allow_dml(false).with_allow_statements(false);
            options.verify_plan(&plan).map_err(explain)?;
            let parameters = parameters(&plan).map_err(explain)?;
            let schema = Arc::new(plan.schema().as_arrow().clone());
            Ok(Prepared { plan, words, schema, parameters })
        }));
        tokio::select! {
            prepared = &mut task.0 => prepared.unwrap_or_else(|fault| Err(QueryError::Internal(fault.to_string()))),
            () = &mut deadline => Err(QueryError::Timeout(self.limits.timeout)),
        }
    }

    /// Runs a planned statement with the values of its parameters, `$1` first.
    ///
    /// # Errors
    /// See [`QueryError`].
    pub async fn run(&self, prepared: &Prepared, values: Vec<ScalarValue>) -> Result<Answer, QueryError> {
        let mut deadline = Box::pin(tokio::time::sleep(self.limits.timeout));
        let timeout = || QueryError::Timeout(self.limits.timeout);
        let permit = self.turn(&mut deadline).await?;
        let (send_schema, schema) = oneshot::channel();
        let (send, batches) = mpsc::channel(2);
        let work = Work {
            context: self.context.clone(),
            prepared: prepared.clone(),
            values,
            known: Arc::clone(&self.known),
            _permit: permit,
        };
        let task = AbortOnDrop(self.runtime.spawn(work.run(send_schema, send, self.limits.timeout)));
        let schema = tokio::select! {
            schema = schema => schema.unwrap_or_else(|_| Err(QueryError::Internal("the query ended early".to_owned()))),
            () = &mut deadline => Err(timeout()),
        }?;
        Ok(Answer { schema, batches, task, deadline, limits: self.limits.clone(), rows: 0, ended: false })
    }

    /// Waits until fewer than [`QueryLimits::concurrent`] queries are planned or run.
    async fn turn(&self, deadline: &mut Pin<Box<Sleep>>) -> Result<OwnedSemaphorePermit, QueryError> {
        let timeout = || QueryError::Timeout(self.limits.timeout);
        tokio::select! {
            permit = Arc::clone(&self.running).acquire_owned() => permit.map_err(|_| timeout()),
            () = deadline => Err(timeout()),
        }
    }

    fn empty(&self) -> Answer {
        let (_, batches) = mpsc::channel(1);
        let schema = Arc::new(arrow_schema::Schema::empty());
        let deadline = Box::pin(tokio::time::sleep(self.limits.timeout));
        Answer {
            schema,
            batches,
            task: AbortOnDrop(self.runtime.spawn(async { Ok(()) })),
            deadline,
            limits: self.limits.clone(),
            rows: 0,
            ended: false,
        }
    }
}

impl Prepared {
    /// The columns of the answer.
    #[must_use]
    pub fn schema(&self) -> &SchemaRef {
        &self.schema
    }

    /// The types of `$1`, `$2`, …, where the statement says them.
    #[must_use]
    pub fn parameters(&self) -> &[Option<DataType>] {
        &self.parameters
    }
}

impl Answer {
    /// The columns.
    #[must_use]
    pub fn schema(&self) -> &SchemaRef {
        &self.schema
    }
}

impl Stream for Answer {
    type Item = Result<RecordBatch, QueryError>;

    fn poll_next(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        let this = &mut *self;
        if this.ended {
            return Poll::Ready(None);
        }
        let error = match this.batches.poll_recv(context) {
            Poll::Ready(Some(batch)) => {
                this.rows = this.rows.saturating_add(batch.num_rows());
                if this.rows <= this.limits.answer_rows {
                    return Poll::Ready(Some(Ok(batch)));
                }
                QueryError::TooManyRows(this.limits.answer_rows)
            }
            Poll::Ready(None) => match ready!(this.task.0.poll_unpin(context)) {
                Ok(Ok(())) => {
                    this.ended = true;
                    return Poll::Ready(None);
                }
                Ok(Err(error)) => error,
                Err(fault) => QueryError::Internal(fault.to_string()),
            },
            Poll::Pending => {
                ready!(this.deadline.as_mut().poll_unpin(context));
                QueryError::Timeout(this.limits.timeout)
            }
        };
        this.ended = true;
        this.task.0.abort();
        Poll::Ready(Some(Err(error)))
    }
}

/// One running query.
struct Work {
    context: SessionContext,
    prepared: Prepared,
    values: Vec<ScalarValue>,
    known: Arc<Known>,
    _permit: OwnedSemaphorePermit,
}

impl Work {
    /// Whoever reads slowly holds the turn no longer than the timeout.
    async fn run(
        self,
        send_schema: oneshot::Sender<Result<SchemaRef, QueryError>>,
        send: mpsc::Sender<RecordBatch>,
        limit: Duration,
    ) -> Result<(), QueryError> {
        let Self { context, prepared, values, known, _permit } = self;
        let explain =
            |error: DataFusionError| QueryError::from_engine(&error, &|word| prepared.words.find(word), &known);
        let work = async {
            let planned = async {
                let plan = match values.is_empty() {
                    true => prepared.plan.clone(),
                    false => prepared.plan.clone().with_param_values(ParamValues::from(values))?,
                };
                context.execute_logical_plan(plan).await?.execute_stream().await
            };
            let mut stream = match planned.await {
                Ok(stream) => stream,
                Err(error) => {
                    let _ = send_schema.send(Err(explain(error)));
                    return Ok(());
                }
            };
            let _ = send_schema.send(Ok(stream.schema()));
            while let Some(batch) = stream.next().await {
                if send.send(batch.map_err(explain)?).await.is_err() {
                    break;
                }
            }
            Ok(())
        };
        tokio::time::timeout(limit, work).await.unwrap_or(Err(QueryError::Timeout(limit)))
    }
}

/// Ends its task when nobody waits for it any more.
#[derive(Debug)]
struct AbortOnDrop<T>(JoinHandle<T>);

impl<T> Drop for AbortOnDrop<T> {
    fn drop(&mut self) {
        self.0.abort();
    }
}

/// Types of `$1`, `$2`, … as far as the statement says them.
fn parameters(plan: &LogicalPlan) -> Result<Vec<Option<DataType>>, DataFusionError> {
    let mut types = BTreeMap::new();
    for (name, data_type) in plan.get_parameter_types()? {
        let number = name.strip_prefix('$').and_then(|number| number.parse::<usize>().ok());
        let Some(number @ 1..=1000) = number else {
            return Err(DataFusionError::Plan(format!("parameter `{name}` is not $1 to $1000")));
        };
        types.insert(number, data_type);
    }
    let count = types.last_key_value().map_or(0, |(number, _)| *number);
    Ok((1..=count).map(|number| types.remove(&number).flatten()).collect())
}

/// Tables that the backend hands out in the engine's own form: its extension is then an `Arc<dyn SchemaProvider>`.
fn native_tables(storage: &Arc<dyn Storage>) -> BTreeMap<String, Arc<dyn TableProvider>> {
    let Some(extension) = storage.extension() else { return BTreeMap::new() };
    let Some(schema) = extension.downcast_ref::<Arc<dyn SchemaProvider>>() else { return BTreeMap::new() };
    let table = |name: String| {
        let table = schema.table(&name).now_or_never()?.ok()??;
        Some((name, table))
    };
    schema.table_names().into_iter().filter_map(table).collect()
}
