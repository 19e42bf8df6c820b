//! The tables as DataFusion sees them: memory and files of one moment, in one plan.

use std::any::Any;
use std::collections::HashSet;
use std::sync::Arc;

use arrow_array::{ArrayRef, BooleanArray, RecordBatch, TimestampNanosecondArray, UInt64Array};
use arrow_schema::SchemaRef;
use async_trait::async_trait;
use datafusion::catalog::{SchemaProvider, Session, TableProvider};
use datafusion::common::pruning::PruningStatistics;
use datafusion::common::{Column, DFSchema, DataFusionError, Result, ScalarValue};
use datafusion::datasource::listing::PartitionedFile;
use datafusion::datasource::memory::MemorySourceConfig;
use datafusion::datasource::physical_plan::{
    FileGroup, FileScanConfigBuilder, ParquetFileReaderFactory, ParquetSource,
};
use datafusion::datasource::source::DataSourceExec;
use datafusion::execution::object_store::ObjectStoreUrl;
use datafusion::logical_expr::utils::conjunction;
use datafusion::logical_expr::{Expr, Operator, TableProviderFilterPushDown, TableType, binary_expr, lit};
use datafusion::physical_expr::PhysicalExpr;
use datafusion::physical_optimizer::pruning::PruningPredicateBuilder;
use datafusion::physical_plan::ExecutionPlan;
use datafusion::physical_plan::filter::FilterExecBuilder;
use datafusion::physical_plan::metrics::ExecutionPlanMetricsSet;
use datafusion::physical_plan::union::UnionExec;
use parquet::arrow::async_reader::AsyncFileReader;
use storage_api::{TableName, widen};

use crate::reading::AsyncRanges;
use crate::state::{DataFile, Shared, Snapshot};

/// All tables, for [`storage_api::Storage::extension`].
#[derive(Debug)]
pub(crate) struct Tables(pub(crate) Arc<Shared>);

#[async_trait]
impl SchemaProvider for Tables {
    fn table_names(&self) -> Vec<String> {
        self.0.tables().keys().map(ToString::to_string).collect()
    }

    async fn table(&self, name: &str) -> Result<Option<Arc<dyn TableProvider>>> {
        let Ok(name) = TableName::new(name) else { return Ok(None) };
        let Some(definition) = self.0.definition(&name) else { return Ok(None) };
        let schema = definition.schema().clone();
        Ok(Some(Arc::new(Provider { shared: self.0.clone(), name, schema })))
    }

    fn table_exist(&self, name: &str) -> bool {
        self.0.tables().contains_key(name)
    }
}

/// One table. Every scan sees what is there when it is planned.
#[derive(Debug)]
pub(crate) struct Provider {
    pub(crate) shared: Arc<Shared>,
    pub(crate) name: TableName,
    /// As it was when the table was looked up; columns that came later are not seen.
    pub(crate) schema: SchemaRef,
}

#[async_trait]
impl TableProvider for Provider {
    fn schema(&self) -> SchemaRef {
        self.schema.clone()
    }

    fn table_type(&self) -> TableType {
        TableType::Base
    }

    /// Every filter helps to skip hours, row groups and pages; none is exact, so DataFusion filters again.
    fn supports_filters_pushdown(&self, filters: &[&Expr]) -> Result<Vec<TableProviderFilterPushDown>> {
        Ok(vec![TableProviderFilterPushDown::Inexact; filters.len()])
    }

    async fn scan(
        &self,
        state: &dyn Session,
        projection: Option<&Vec<usize>>,
        filters: &[Expr],
        limit: Option<usize>,
    ) -> Result<Arc<dyn ExecutionPlan>> {
        let snapshot = self
            .shared
            .snapshot(&self.name)
            .ok_or_else(|| DataFusionError::Plan(format!("there is no table `{}`", self.name)))?;
        self.plan(state, snapshot, projection, filters, limit)
    }
}

impl Provider {
    /// Memory and files of a snapshot. `filters` leave out what cannot match.
    fn plan(
        &self,
        state: &dyn Session,
        snapshot: Snapshot,
        projection: Option<&Vec<usize>>,
        filters: &[Expr],
        limit: Option<usize>,
    ) -> Result<Arc<dyn ExecutionPlan>> {
        let df_schema = DFSchema::try_from(self.schema.as_ref().clone())?;
        let filter = conjunction(filters.iter().cloned())
            .map(|filter| state.create_physical_expr(filter, &df_schema))
            .transpose()?;
        let time = snapshot.definition.time_column().to_owned();
        let mut files = snapshot.files;
        let mut rows = snapshot.rows;
        if let Some(filter) = &filter {
            keep(&mut files, &time, filter, &self.schema, |file| (file.entry.first, file.entry.last));
            keep(&mut rows, &time, filter, &self.schema, |rows| (rows.first, rows.last));
        }
        // What retention has dropped, but files and memory still hold.
        let mut whole = Vec::new();
        let mut straddling = Vec::new();
        let dropped = snapshot.kept_from.map_or(i64::MIN, storage_api::Timestamp::as_nanos);
        for file in files.into_iter().filter(|file| file.entry.last >= dropped) {
            if file.entry.first >= dropped { whole.push(file) } else { straddling.push(file) }
        }
        let mut young = Vec::new();
        let mut mixed = Vec::new();
        for rows in rows.into_iter().filter(|rows| rows.last >= dropped) {
            let batch = widen(&rows.batch, &snapshot.definition)?;
            let batch =
                RecordBatch::try_new(self.schema.clone(), batch.columns()[..self.schema.fields().len()].to_vec())?;
            if rows.first >= dropped { young.push(batch) } else { mixed.push(batch) }
        }

        let all: Vec<usize> = (0..self.schema.fields().len()).collect();
        let wanted = projection.unwrap_or(&all);
        let mut plans = Vec::new();
        if !whole.is_empty() {
            plans.push(self.files(state, whole, wanted, filter.as_ref(), limit)?);
        }
        if !young.is_empty() {
            plans.push(memory(state, young, &self.schema, wanted)?);
        }
        if !straddling.is_empty() || !mixed.is_empty() {
            // The time column is read even if it is not wanted, and cut off behind the filter.
            let index = self.schema.index_of(&time)?;
            let mut read = wanted.clone();
            let place = read.iter().position(|&column| column == index).unwrap_or_else(|| {
                read.push(index);
                read.len() - 1
            });
            let mut old = Vec::new();
            if !straddling.is_empty() {
                old.push(self.files(state, straddling, &read, filter.as_ref(), None)?);
            }
            if !mixed.is_empty() {
                old.push(memory(state, mixed, &self.schema, &read)?);
            }
            let limit = ScalarValue::TimestampNanosecond(Some(dropped), Some("+00:00".into()));
            let kept = binary_expr(Expr::Column(Column::from_name(&time)), Operator::GtEq, lit(limit));
            for plan in old {
                let kept =
                    state.create_physical_expr(kept.clone(), &DFSchema::try_from(plan.schema().as_ref().clone())?)?;
                let filter = FilterExecBuilder::new(kept, plan);
                debug_assert!(place < read.len(), "the time column is read");
                plans.push(Arc::new(filter.apply_projection(Some((0..wanted.len()).collect()))?.build()?));
            }
        }
        match plans.len() {
            0 => memory(state, Vec::new(), &self.schema, wanted),
            1 => Ok(plans.remove(0)),
            _ => UnionExec::try_new(plans),
        }
    }

    fn files(
        &self,
        state: &dyn Session,
        files: Vec<Arc<DataFile>>,
        projection: &[usize],
        filter: Option<&Arc<dyn PhysicalExpr>>,
        limit: Option<usize>,
    ) -> Result<Arc<dyn ExecutionPlan>> {
        let mut source = ParquetSource::new(self.schema.clone())
            .with_table_parquet_options(state.default_table_options().parquet)
            .with_parquet_file_reader_factory(Arc::new(Readers(self.shared.clone())));
        if let Some(filter) = filter {
            source = source.with_predicate(filter.clone());
        }
        let groups = spread(files, state.config().target_partitions(), |file| file.entry.bytes);
        let groups = groups.into_iter().map(|files| {
            let files = files
                .into_iter()
                .map(|file| PartitionedFile::new(file.path.to_string_lossy(), file.entry.bytes).with_extension(file));
            FileGroup::new(files.collect())
        });
        let config = FileScanConfigBuilder::new(ObjectStoreUrl::local_filesystem(), Arc::new(source))
            .with_file_groups(groups.collect())
            .with_projection_indices(Some(projection.to_vec()))?
            .with_limit(limit)
            .build();
        Ok(DataSourceExec::from_data_source(config))
    }
}

fn memory(
    state: &dyn Session,
    batches: Vec<RecordBatch>,
    schema: &SchemaRef,
    projection: &[usize],
) -> Result<Arc<dyn ExecutionPlan>> {
    let parts = spread(batches, state.config().target_partitions(), |batch| batch.num_rows() as u64);
    Ok(MemorySourceConfig::try_new_exec(&parts, schema.clone(), Some(projection.to_vec()))?)
}

/// Spreads work over at most so many parts, each about as heavy.
fn spread<T>(mut items: Vec<T>, parts: usize, weight: impl Fn(&T) -> u64) -> Vec<Vec<T>> {
    let mut spread: Vec<(u64, Vec<T>)> = Vec::new();
    spread.resize_with(parts.clamp(1, items.len().max(1)), Default::default);
    items.sort_by_key(|item| std::cmp::Reverse(weight(item)));
    for item in items {
        if let Some((sum, part)) = spread.iter_mut().min_by_key(|(sum, part)| (*sum, part.len())) {
            *sum += weight(&item);
            part.push(item);
        }
    }
    spread.into_iter().map(|(_, part)| part).collect()
}

/// Leaves out what the filter cannot match, by its times alone.
fn keep<T>(
    items: &mut Vec<T>,
    time: &str,
    filter: &Arc<dyn PhysicalExpr>,
    schema: &SchemaRef,
    times: impl Fn(&T) -> (i64, i64),
) {
    // What cannot be used to leave out anything is no error.
    let builder = PruningPredicateBuilder::new().with_file_schema(schema.clone());
    let Some(predicate) = builder.build(filter.clone()) else { return };
    let (first, last) = items.iter().map(times).unzip();
    let array = |times: Vec<i64>| Arc::new(TimestampNanosecondArray::from(times).with_timezone("+00:00")) as ArrayRef;
    let statistics = Times { column: time.to_owned(), first: array(first), last: array(last) };
    let Ok(kept) = predicate.prune(&statistics) else { return };
    let mut kept = kept.into_iter();
    items.retain(|_| kept.next().unwrap_or(true));
}

/// What is known of batches and files without reading them.
struct Times {
    column: String,
    first: ArrayRef,
    last: ArrayRef,
}

impl PruningStatistics for Times {
    fn min_values(&self, column: &Column) -> Option<ArrayRef> {
        (column.name == self.column).then(|| self.first.clone())
    }

    fn max_values(&self, column: &Column) -> Option<ArrayRef> {
        (column.name == self.column).then(|| self.last.clone())
    }

    fn num_containers(&self) -> usize {
        self.first.len()
    }

    fn null_counts(&self, column: &Column) -> Option<ArrayRef> {
        (column.name == self.column).then(|| Arc::new(UInt64Array::from(vec![0; self.first.len()])) as ArrayRef)
    }

    fn row_counts(&self) -> Option<ArrayRef> {
        None
    }

    fn contained(&self, _: &Column, _: &HashSet<ScalarValue>) -> Option<BooleanArray> {
        None
    }
}

/// Reads sealed files through the store's disk. The file rides on the plan, so that it is there as long as the plan is.
#[derive(Debug)]
struct Readers(Arc<Shared>);

impl ParquetFileReaderFactory for Readers {
    fn create_reader(
        &self,
        _: usize,
        file: PartitionedFile,
        _: Option<usize>,
        _: &ExecutionPlanMetricsSet,
    ) -> Result<Box<dyn AsyncFileReader + Send>> {
        let file = file
            .extension::<Arc<DataFile>>()
            .cloned()
            .ok_or_else(|| DataFusionError::Internal("a file that is not of this store".to_owned()))?;
        Ok(Box::new(AsyncRanges::new(self.0.clone(), file)))
    }
}

/// What [`storage_api::Storage::extension`] hands out.
pub(crate) fn extension(shared: &Arc<Shared>) -> Arc<dyn Any + Send + Sync> {
    let tables: Arc<dyn SchemaProvider> = Arc::new(Tables(shared.clone()));
    Arc::new(tables)
}
