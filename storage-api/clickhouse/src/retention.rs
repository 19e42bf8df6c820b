//! Old rows are dropped by whole partitions; those of batches that reach over the limit are deleted one by one.

use storage_api::{TableDefinition, TimeRange, Timestamp};

use crate::server::Server;
use crate::sql::{Name, Text, day};
use crate::{Features, RequestError, predicate, tables};

/// Partitions in one statement.
const AT_ONCE: usize = 100;

pub(crate) async fn drop_before(
    server: &Server,
    table: &TableDefinition,
    limit: Timestamp,
) -> Result<(), RequestError> {
    let local = tables::local(table.name(), server);
    let place = match &server.address.cluster {
        Some(cluster) => format!("clusterAllReplicas({}, system.parts)", Text(cluster.as_bytes())),
        None => "system.parts".to_owned(),
    };
    let lines = server.lines(format!(
        "SELECT DISTINCT partition FROM {place} WHERE active AND database = {} AND table = {}",
        Text(server.address.database.as_bytes()),
        Text(local.as_bytes()),
    ));
    let old: Vec<String> = lines
        .await?
        .iter()
        .filter_map(|line| days(line))
        .filter(|(_, last)| (1..day(limit)).contains(last))
        .map(|(first, last)| format!("DROP PARTITION ({first}, {last})"))
        .collect();
    let alter = format!("ALTER TABLE {}", Name(&local));
    for some in old.chunks(AT_ONCE) {
        server.change_all(&alter, &some.join(", ")).await?;
    }
    let mut rest = vec!["LAST_DAY > 0".to_owned()];
    rest.extend(predicate::within(TimeRange { from: None, until: Some(limit) }, table, server.features));
    let rest = rest.join(" AND ");
    let asked = format!("SELECT 1 FROM {} WHERE {rest} LIMIT 1", Name(table.name().as_str()));
    if server.lines(asked).await?.is_empty() {
        return Ok(());
    }
    match server.features.has(Features::LIGHT_DELETES) {
        true => server.change_all(&format!("DELETE FROM {}", Name(&local)), &format!("WHERE {rest}")).await,
        false => server.change_all(&alter, &format!("DELETE WHERE {rest}")).await,
    }
}

/// The partition `(20250601,20250602)` as its two days.
fn days(partition: &str) -> Option<(i32, i32)> {
    let (first, last) = partition.strip_prefix('(')?.strip_suffix(')')?.split_once(',')?;
    Some((first.trim().parse().ok()?, last.trim().parse().ok()?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_partitions_of_two_days_are_dropped() {
        assert_eq!(days("(20250601,20250602)"), Some((20_250_601, 20_250_602)));
        for other in ["tuple()", "20250601", "(1,2,3)", "('a','b')", ""] {
            assert_eq!(days(other), None, "{other}");
        }
    }
}
