use std::sync::Arc;

use arrow_schema::SchemaRef;
use async_trait::async_trait;
use datafusion::catalog::{Session, TableProvider};
use datafusion::common::Result;
use datafusion::error::DataFusionError;
use datafusion::logical_expr::{Expr, TableProviderFilterPushDown, TableType};
use datafusion::physical_plan::ExecutionPlan;
use storage_api::{Predicate, ScanRequest, Storage};
use tag_encoder::Writers;

use crate::decode::Decoder;
use crate::filter::{time_range, translate};
use crate::names_exec::NamesExec;
use crate::pushdown::{to_expr, within};
use crate::scan_exec::ScanExec;
use crate::view::TableView;

/// A stored table as the SQL engine sees it.
#[derive(Debug)]
pub(crate) struct NamedTable {
    pub(crate) view: Arc<TableView>,
    pub(crate) storage: Arc<dyn Storage>,
    /// The backend's own form of the table, if it has one that the engine can read directly.
    pub(crate) native: Option<Arc<dyn TableProvider>>,
    pub(crate) names: Writers,
}

#[async_trait]
impl TableProvider for NamedTable {
    fn schema(&self) -> SchemaRef {
        Arc::clone(&self.view.schema)
    }

    fn table_type(&self) -> TableType {
        TableType::Base
    }

    fn supports_filters_pushdown(&self, filters: &[&Expr]) -> Result<Vec<TableProviderFilterPushDown>> {
        let answer = |filter: &&Expr| match translate(filter, &self.view, &self.names) {
            Some(_) => TableProviderFilterPushDown::Inexact,
            None => TableProviderFilterPushDown::Unsupported,
        };
        Ok(filters.iter().map(answer).collect())
    }

    async fn scan(
        &self,
        state: &dyn Session,
        projection: Option<&Vec<usize>>,
        filters: &[Expr],
        limit: Option<usize>,
    ) -> Result<Arc<dyn ExecutionPlan>> {
        let seen = projection.cloned().unwrap_or_else(|| (0..self.view.schema.fields().len()).collect());
        let decoder = Decoder::new(Arc::clone(&self.view), seen)?;
        let predicates: Vec<_> =
            filters.iter().filter_map(|filter| translate(filter, &self.view, &self.names)).collect();
        let time = time_range(filters, &self.view);
        // Rows are looked at again above, so a limit counts only where nothing was asked.
        let limit = limit.filter(|_| filters.is_empty());
        let definition = &self.view.definition;
        let stored: Arc<dyn ExecutionPlan> = match &self.native {
            Some(native) => {
                // The native table may have its columns in another order.
                let schema = native.schema();
                let places = decoder.stored().iter().map(|index| schema.index_of(self.view.stored(*index).name()));
                let places: Vec<_> = places.collect::<std::result::Result<_, _>>()?;
                let mut exprs: Vec<_> = predicates.iter().filter_map(|predicate| to_expr(predicate, &schema)).collect();
                exprs.extend(within(definition.time_column(), time));
                native.scan(state, Some(&places), &exprs, limit).await?
            }
            None => {
                let columns = decoder.stored().iter().map(|index| self.view.stored(*index).name().clone());
                let mut request = ScanRequest::new(definition.name().clone()).columns(columns).within(time);
                if !predicates.is_empty() {
                    request = request.filter(Predicate::And(predicates));
                }
                request.limit = limit;
                let schema = definition.schema().project(decoder.stored()).map_err(DataFusionError::from)?;
                Arc::new(ScanExec::new(Arc::clone(&self.storage), request, Arc::new(schema)))
            }
        };
        Ok(Arc::new(NamesExec::new(stored, Arc::new(decoder), self.names.clone())))
    }
}
