use std::fmt;
use std::sync::Arc;

use datafusion::common::tree_node::TreeNodeRecursion;
use datafusion::common::{DataFusionError, Result};
use datafusion::execution::{SendableRecordBatchStream, TaskContext};
use datafusion::physical_expr::{EquivalenceProperties, PhysicalExpr};
use datafusion::physical_plan::stream::RecordBatchStreamAdapter;
use datafusion::physical_plan::{
    ChildrenPropertiesMode, DisplayAs, DisplayFormatType, ExecutionPlan, ExecutionPlanProperties, Partitioning,
    PlanProperties, ReplaceChildrenOptions,
};
use futures::StreamExt;
use tag_encoder::{Writers, WritersSnapshot};

use crate::decode::Decoder;

/// Numbers become names here: the only place above a store that looks into a dictionary.
#[derive(Debug)]
pub(crate) struct NamesExec {
    stored: Arc<dyn ExecutionPlan>,
    decoder: Arc<Decoder>,
    names: Writers,
    properties: Arc<PlanProperties>,
}

impl NamesExec {
    pub(crate) fn new(stored: Arc<dyn ExecutionPlan>, decoder: Arc<Decoder>, names: Writers) -> Self {
        let properties = PlanProperties::new(
            EquivalenceProperties::new(Arc::clone(decoder.schema())),
            Partitioning::UnknownPartitioning(stored.output_partitioning().partition_count()),
            stored.pipeline_behavior(),
            stored.boundedness(),
        );
        Self { stored, decoder, names, properties: Arc::new(properties) }
    }
}

impl DisplayAs for NamesExec {
    fn fmt_as(&self, _: DisplayFormatType, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let columns: Vec<_> = self.decoder.schema().fields().iter().map(|field| field.name().as_str()).collect();
        write!(f, "NamesExec: columns={columns:?}")
    }
}

impl ExecutionPlan for NamesExec {
    fn name(&self) -> &'static str {
        "NamesExec"
    }

    fn properties(&self) -> &Arc<PlanProperties> {
        &self.properties
    }

    fn children(&self) -> Vec<&Arc<dyn ExecutionPlan>> {
        vec![&self.stored]
    }

    fn apply_expressions(
        &self,
        _: &mut dyn FnMut(&Arc<dyn PhysicalExpr>) -> Result<TreeNodeRecursion>,
    ) -> Result<TreeNodeRecursion> {
        Ok(TreeNodeRecursion::Continue)
    }

    fn replace_children(
        self: Arc<Self>,
        mut children: Vec<Arc<dyn ExecutionPlan>>,
        _: ReplaceChildrenOptions,
    ) -> Result<Arc<dyn ExecutionPlan>> {
        let child = children.pop().ok_or_else(|| DataFusionError::Internal("NamesExec has one child".to_owned()))?;
        Ok(Arc::new(Self::new(child, Arc::clone(&self.decoder), self.names.clone())))
    }

    fn with_new_children(self: Arc<Self>, children: Vec<Arc<dyn ExecutionPlan>>) -> Result<Arc<dyn ExecutionPlan>> {
        self.replace_children(children, ReplaceChildrenOptions::new(ChildrenPropertiesMode::Recompute))
    }

    fn execute(&self, partition: usize, context: Arc<TaskContext>) -> Result<SendableRecordBatchStream> {
        let stored = self.stored.execute(partition, context)?;
        let (decoder, names) = (Arc::clone(&self.decoder), self.names.clone());
        let mut snapshot: Option<WritersSnapshot> = None;
        let decoded = stored.map(move |batch| {
            let batch = batch?;
            // Taken after the first rows are here: names are known before the rows that use them, so none is missing.
            let snapshot = snapshot.get_or_insert_with(|| names.snapshot());
            Ok(decoder.decode(&batch, snapshot)?)
        });
        Ok(Box::pin(RecordBatchStreamAdapter::new(Arc::clone(self.decoder.schema()), decoded)))
    }
}
