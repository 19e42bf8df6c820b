//! What is asked of the server beside the statement itself, so that no profile of a user changes what comes of it.

use crate::Limits;
use crate::RequestError;
use crate::error::codes;
use crate::http::Http;

/// The settings of each sort of statement, as the end of a URL.
#[derive(Debug)]
pub(crate) struct Profiles {
    pub(crate) read: String,
    pub(crate) insert: String,
    pub(crate) change: String,
    /// What the server does not know, and so cannot do otherwise than it always did.
    pub(crate) unknown: Vec<String>,
}

const READ: &[(&str, &str)] = &[
    // Only reading; 2 lets the other settings through, but not this one.
    ("readonly", "2"),
    ("cancel_http_readonly_queries_on_client_close", "1"),
    ("output_format_arrow_compression_method", "none"),
    ("output_format_arrow_fixed_string_as_fixed_byte_array", "1"),
    ("output_format_arrow_low_cardinality_as_dictionary", "0"),
    // All rows or an error.
    ("result_overflow_mode", "throw"),
    ("read_overflow_mode", "throw"),
    ("set_overflow_mode", "throw"),
    ("timeout_overflow_mode", "throw"),
    ("skip_unavailable_shards", "0"),
    ("limit", "0"),
    ("offset", "0"),
    ("extremes", "0"),
    ("final", "0"),
    ("use_query_cache", "0"),
    ("transform_null_in", "0"),
    ("prefer_column_name_to_alias", "1"),
    // Conditions are bounded by this store, and nested as deeply as storage-api allows.
    ("max_ast_depth", "10000"),
    ("max_ast_elements", "10000000"),
    ("max_expanded_ast_elements", "10000000"),
    ("max_parser_depth", "10000"),
];

const INSERT: &[(&str, &str)] = &[
    // One block, one part, acknowledged when it is there.
    ("async_insert", "0"),
    ("insert_distributed_sync", "1"),
    ("distributed_foreground_insert", "1"),
    ("insert_deduplicate", "1"),
    ("deduplicate_insert", "enable"),
    ("max_insert_block_size", "100000000"),
    ("min_insert_block_size_rows", "100000000"),
    ("min_insert_block_size_bytes", "4294967296"),
    ("input_format_defaults_for_omitted_fields", "1"),
    ("input_format_null_as_default", "1"),
    ("input_format_skip_unknown_fields", "0"),
];

const CHANGE: &[(&str, &str)] = &[
    ("allow_experimental_map_type", "1"),
    ("allow_experimental_lightweight_delete", "1"),
    ("data_type_default_nullable", "0"),
    ("lightweight_deletes_sync", "2"),
    ("mutations_sync", "2"),
    // Retention drops what it was asked to drop, however large.
    ("max_partition_size_to_drop", "0"),
];

impl Profiles {
    /// Tries every setting on the server, and leaves out those that it does not know.
    pub(crate) async fn tried(http: &Http, database: &str, limits: &Limits) -> Result<Self, RequestError> {
        let mut unknown = Vec::new();
        let long = (limits.condition_bytes + (1 << 20)).to_string();
        let mut profiles = Vec::new();
        for wanted in [READ, INSERT, CHANGE] {
            let mut wanted: Vec<(&str, &str)> = wanted.to_vec();
            wanted.push(("max_query_size", &long));
            profiles.push(loop {
                let settings = url(&wanted);
                let tried = async { http.send(&settings, "SELECT 1").await?.text().await };
                let Err(error) = tried.await else {
                    break format!("database={database}&{settings}");
                };
                let said = error.to_string();
                let before = wanted.len();
                if error.has_code(&[codes::UNKNOWN_SETTING]) {
                    let named = |name: &str| words(&said).any(|word| word == name);
                    unknown.extend(wanted.iter().filter(|(name, _)| named(name)).map(|(name, _)| (*name).to_owned()));
                    wanted.retain(|(name, _)| !named(name));
                }
                if wanted.len() == before {
                    return Err(error);
                }
            });
        }
        let [read, insert, change] = <[String; 3]>::try_from(profiles).unwrap_or_default();
        Ok(Self { read, insert, change, unknown })
    }
}

fn words(text: &str) -> impl Iterator<Item = &str> {
    text.split(|c: char| !c.is_ascii_alphanumeric() && c != '_')
}

fn url(settings: &[(&str, &str)]) -> String {
    settings.iter().map(|(name, value)| format!("{name}={value}")).collect::<Vec<_>>().join("&")
}
