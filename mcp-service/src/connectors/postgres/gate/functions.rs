//! Functions that do harm although they can be called in a READ ONLY transaction (PostgreSQL manual, 9.27 to 9.30, and
//! the extensions in wide use): they write outside of tables, reach other systems, run SQL given as text, or change
//! the session that our limits live in.

/// Whole families, by how their names start.
const PREFIXES: &[&str] = &[
    "lo_",
    "dblink",
    "pg_advisory",
    "pg_try_advisory",
    "pg_read_",
    "pg_ls_",
    "pg_file_",
    "pg_logical_",
    "pg_replication_",
    "pg_create_",
    "pg_drop_",
    "pg_copy_",
    "pg_wal_replay_",
    "pg_backup_",
    "pg_start_backup",
    "pg_stop_backup",
    "pg_stat_reset",
    "pg_stat_statements_reset",
    "pg_background_",
    "pg_sync_",
    "binary_upgrade_",
    "brin_summarize_",
    "brin_desummarize_",
    "heap_force_",
    "http_",
    "query_to_xml",
    "table_to_xml",
    "schema_to_xml",
    "database_to_xml",
    "cursor_to_xml",
    "crosstab",
    "xpath_table",
    "pg_try_",
    "autoprewarm",
    "aws_",
];

/// Single functions.
const NAMES: &[&str] = &[
    "set_config",
    "setval",
    "nextval",
    "pg_notify",
    "pg_terminate_backend",
    "pg_cancel_backend",
    "pg_reload_conf",
    "pg_rotate_logfile",
    "pg_current_logfile",
    "pg_stat_file",
    "pg_switch_wal",
    "pg_promote",
    "pg_export_snapshot",
    "pg_import_system_collations",
    "pg_log_backend_memory_contexts",
    "pg_log_standby_snapshot",
    "pg_prewarm",
    "pg_clear_relation_stats",
    "pg_restore_relation_stats",
    "pg_extension_config_dump",
    "gin_clean_pending_list",
    "pg_nextoid",
    "ts_stat",
    "ts_rewrite",
    "connectby",
    "loread",
    "lowrite",
    "http",
    "postgres_fdw_disconnect",
    "postgres_fdw_disconnect_all",
    "plpgsql_call_handler",
    "pg_sleep_until",
];

/// Schemas of extensions that exist to act elsewhere.
const SCHEMAS: &[&str] = &["dblink", "cron", "aws_s3", "aws_lambda", "aws_commons", "net", "http", "plv8"];

/// Whether a function may not be called. A quoted name in capitals is another function, but refusing it as well costs
/// nobody anything.
pub(super) fn is_denied(schema: Option<&str>, function: &str) -> bool {
    let function = function.to_lowercase();
    PREFIXES.iter().any(|prefix| function.starts_with(prefix))
        || NAMES.contains(&function.as_str())
        || schema.is_some_and(|schema| SCHEMAS.contains(&schema.to_lowercase().as_str()))
}
