//! Dictionaries over tables, for those who ask ClickHouse itself.

use storage_api::{BackendError, CreateTableError, TableDefinition};

use crate::server::Server;
use crate::sql::{Name, Text};
use crate::{Features, RequestError, types};

/// How old the dictionary may be, in seconds.
const LIFETIME: (u32, u32) = (10, 60);

/// `CREATE DICTIONARY` by the name of the table in upper-case letters.
pub(crate) async fn create(
    server: &Server,
    table: &TableDefinition,
    keys: &[&str],
    value: &str,
) -> Result<(), CreateTableError> {
    let columns = types::declarations(table, Features::NONE)?;
    let declared = |column: &&str| {
        let begin = format!("{} ", Name(column));
        let found = columns.iter().find_map(|declaration| declaration.strip_prefix(&begin));
        let found =
            found.and_then(|rest| rest.split(" COMMENT ").next()).filter(|found| !found.starts_with("Nullable"));
        let error = || BackendError::permanent(format!("there is no required column `{column}`"));
        found.map(|data_type| format!("{begin}{data_type}")).ok_or_else(error)
    };
    let mut attributes = keys.iter().map(declared).collect::<Result<Vec<_>, _>>()?;
    attributes.push(format!("{} DEFAULT ''", declared(&value)?));
    let names = |names: &[&str]| names.iter().map(|name| Name(name).to_string()).collect::<Vec<_>>().join(", ");
    let query = format!(
        "SELECT {}, {} FROM {}.{} WHERE LAST_DAY > 0",
        names(keys),
        Name(value),
        Name(&server.address.database),
        Name(table.name().as_str())
    );
    let mut source = format!("QUERY {}", Text(query.as_bytes()));
    if !server.address.user.is_empty() {
        let (user, password) = (Text(server.address.user.as_bytes()), Text(server.address.password.as_bytes()));
        source = format!("USER {user} PASSWORD {password} {source}");
    }
    let behind = format!(
        "({}) PRIMARY KEY {} SOURCE(CLICKHOUSE({source})) LAYOUT(COMPLEX_KEY_HASHED()) LIFETIME(MIN {} MAX {})",
        attributes.join(", "),
        names(keys),
        LIFETIME.0,
        LIFETIME.1
    );
    let name = table.name().as_str().to_ascii_uppercase();
    let before = format!("CREATE DICTIONARY IF NOT EXISTS {}", Name(&name));
    let made = server.change_all(&before, &behind).await;
    made.map_err(|error: RequestError| CreateTableError::Backend(error.into()))
}
