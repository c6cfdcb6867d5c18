//! The query engine, set up for one job: tables and limits come in, a session that can do no more than read them goes
//! out.

use std::sync::Arc;

use datafusion::arrow::datatypes::DataType;
use datafusion::catalog::TableProvider;
use datafusion::common::{DataFusionError, Result, TableReference};
use datafusion::datasource::file_format::FileFormat;
use datafusion::datasource::file_format::csv::CsvFormat;
use datafusion::datasource::file_format::json::JsonFormat;
use datafusion::datasource::file_format::parquet::ParquetFormat;
use datafusion::datasource::listing::{ListingOptions, ListingTable, ListingTableConfig, ListingTableUrl};
use datafusion::execution::disk_manager::{DiskManagerBuilder, DiskManagerMode};
use datafusion::execution::memory_pool::GreedyMemoryPool;
use datafusion::execution::runtime_env::RuntimeEnvBuilder;
use datafusion::execution::session_state::SessionStateBuilder;
use datafusion::prelude::{SessionConfig, SessionContext};
use url::Url;

use super::super::lake::{Format, Table};
use super::super::protocol::Limits;
use super::store::{ADDRESS, LakeStore, OnlyTheLake};

/// Catalog and schema that a table name may be written with.
const CATALOG: &str = "lake";
const SCHEMA: &str = "main";
/// Lines of a text file that are read to find its column types.
const INFERRED_ROWS: usize = 1_000;

/// A session over the store, with no table yet: tables are opened as a job names them.
pub(super) fn open(store: LakeStore, limits: &Limits) -> Result<SessionContext> {
    let runtime = RuntimeEnvBuilder::new()
        // Three quarters: what operators do not report has to fit into the process limit, too.
        .with_memory_pool(Arc::new(GreedyMemoryPool::new(megabytes(limits.memory_mib) / 4 * 3)))
        .with_disk_manager_builder(DiskManagerBuilder::default().with_mode(DiskManagerMode::Disabled))
        .with_object_store_registry(Arc::new(OnlyTheLake(Arc::new(store))))
        .build_arc()?;
    let state = SessionStateBuilder::new()
        .with_config(config(limits.threads))
        .with_runtime_env(runtime)
        .with_default_features()
        .build();
    Ok(SessionContext::new_with_state(state))
}

fn megabytes(mib: u64) -> usize {
    usize::try_from(mib * 1024 * 1024).unwrap_or(usize::MAX)
}

fn config(threads: usize) -> SessionConfig {
    let mut config = SessionConfig::new()
        .with_target_partitions(threads)
        .with_information_schema(false)
        .with_default_catalog_and_schema(CATALOG, SCHEMA);
    let options = config.options_mut();
    // Discovery has listed the files of every level; without this those in plain sub-folders would be left out.
    options.execution.listing_table_ignore_subdirectory = false;
    // Right rows rather than a parallel scan: a quoted value may hold a line break.
    options.catalog.newlines_in_values = true;
    config
}

/// Opens those of the tables that a job refers to, under their names.
pub(super) async fn register(context: &SessionContext, tables: &[Table], wanted: &[TableReference]) -> Result<()> {
    for table in tables.iter().filter(|table| wanted.iter().any(|reference| refers_to(reference, table))) {
        let provider = provider(context, table).await?;
        context.register_table(TableReference::bare(table.name.as_str()), provider)?;
    }
    Ok(())
}

/// Whether a reference, with or without `lake.main.` in front, means the table.
pub(super) fn refers_to(reference: &TableReference, table: &Table) -> bool {
    reference.table() == table.name
        && reference.schema().is_none_or(|schema| schema == SCHEMA)
        && reference.catalog().is_none_or(|catalog| catalog == CATALOG)
}

async fn provider(context: &SessionContext, table: &Table) -> Result<Arc<dyn TableProvider>> {
    let partitions = table.partitions.iter().map(|key| (key.clone(), DataType::Utf8)).collect();
    let options = ListingOptions::new(format(table.format))
        // The store lists the files of this table and no others.
        .with_file_extension("")
        .with_table_partition_cols(partitions);
    let url = address(&table.source)?;
    let schema = options.infer_schema(&context.state(), &url).await?;
    let config = ListingTableConfig::new(url).with_listing_options(options).with_schema(schema);
    Ok(Arc::new(ListingTable::try_new(config)?))
}

fn format(format: Format) -> Arc<dyn FileFormat> {
    match format {
        Format::Parquet => Arc::new(ParquetFormat::default()),
        Format::Csv => Arc::new(
            CsvFormat::default()
                .with_has_header(true)
                .with_newlines_in_values(true)
                .with_schema_infer_max_rec(INFERRED_ROWS),
        ),
        Format::Ndjson => Arc::new(JsonFormat::default().with_schema_infer_max_rec(INFERRED_ROWS)),
    }
}

/// The address of a file (`customers.csv`) or folder (`orders/`) of the lake.
fn address(source: &str) -> Result<ListingTableUrl> {
    let wrong = || DataFusionError::Internal(format!("{source:?} is no path of the data lake"));
    let mut url = Url::parse(ADDRESS).map_err(|_| wrong())?;
    url.path_segments_mut().map_err(|()| wrong())?.pop_if_empty().extend(source.split('/'));
    ListingTableUrl::try_new(url, None)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_keeps_the_path_as_it_is() {
        for (source, path) in [("a b.csv", "a b.csv"), ("orders/", "orders"), ("März+1.csv", "März+1.csv")] {
            let address = address(source).unwrap();
            assert_eq!(address.prefix().as_ref(), path);
            assert_eq!(address.is_collection(), source.ends_with('/'));
        }
    }

    #[test]
    fn a_reference_to_another_schema_is_not_the_table() {
        let table = Table {
            name: "orders".to_owned(),
            source: "orders/".to_owned(),
            format: Format::Csv,
            files: Vec::new(),
            partitions: Vec::new(),
        };
        assert!(refers_to(&TableReference::bare("orders"), &table));
        assert!(refers_to(&TableReference::full("lake", "main", "orders"), &table));
        assert!(!refers_to(&TableReference::partial("information_schema", "orders"), &table));
        assert!(!refers_to(&TableReference::bare("Orders"), &table));
    }
}
