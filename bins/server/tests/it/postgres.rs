use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::Command;
use std::time::{Duration, SystemTime};

use metaflow_protocol::tables::TABLES;
use metaflow_server::Server;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio_postgres::{Client, NoTls, SimpleQueryMessage};

use crate::lab::{Agent, calls, in_memory};

async fn with_calls() -> (Server, SocketAddr) {
    let server = in_memory().await;
    let names: Vec<_> = (0..50).map(|number| if number % 5 == 0 { "/slow" } else { "/fast" }).collect();
    Agent::connect(server.address().unwrap()).await.send(0, &calls(0, &names)).await.unwrap();
    let address = server.postgres_address().unwrap();
    (server, address)
}

async fn client(address: SocketAddr) -> Client {
    let settings = format!("host={} port={} user=metaflow dbname=metaflow", address.ip(), address.port());
    let (client, connection) = tokio_postgres::connect(&settings, NoTls).await.unwrap();
    tokio::spawn(connection);
    client
}

fn psql(address: SocketAddr, arguments: &[&str]) -> Option<(i32, String, String)> {
    let output = Command::new("psql")
        .args(["-X", "-h", &address.ip().to_string(), "-p", &address.port().to_string(), "-U", "metaflow"])
        .args(arguments)
        .env("PGCONNECT_TIMEOUT", "10")
        .env("PAGER", "")
        .output();
    match output {
        Ok(output) => Some((
            output.status.code().unwrap(),
            String::from_utf8(output.stdout).unwrap(),
            String::from_utf8(output.stderr).unwrap(),
        )),
        Err(error) => {
            eprintln!("skipped: psql cannot be run: {error}");
            None
        }
    }
}

async fn in_background<T: Send + 'static>(work: impl FnOnce() -> T + Send + 'static) -> T {
    tokio::task::spawn_blocking(work).await.unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn psql_asks_and_is_told_what_is_wrong() {
    let (_server, address) = with_calls().await;
    let sql = "SELECT endpoint, count(*), avg(duration_ns) IS NOT NULL AS timed FROM calls GROUP BY 1 ORDER BY 1";
    let Some((code, out, err)) = in_background(move || psql(address, &["-A", "-c", sql, "metaflow"])).await else {
        return;
    };
    assert_eq!(
        (code, out.as_str(), err.as_str()),
        (0, "endpoint|count(*)|timed\n/fast|40|t\n/slow|10|t\n(2 rows)\n", "")
    );
    let wrong = in_background(move || psql(address, &["-c", "SELECT endpiont FROM calls", "metaflow"])).await.unwrap();
    assert_eq!(wrong.0, 1);
    assert!(
        wrong.2.contains("there is no column `endpiont`")
            && wrong.2.contains("LINE 1: SELECT endpiont")
            && wrong.2.contains("       ^"),
        "{}",
        wrong.2
    );
    let several = in_background(move || {
        psql(address, &["-A", "-t", "-c", "SELECT 1; SELECT NULL, true, 'x''y', 1.5; -- ping", "metaflow"])
    })
    .await
    .unwrap();
    assert_eq!(several.1, "1\n|t|x'y|1.5\n");
    let elsewhere = in_background(move || psql(address, &["-c", "SELECT 1", "postgres"])).await.unwrap();
    assert!(elsewhere.0 == 2 && elsewhere.2.contains("user and database are both metaflow"), "{}", elsewhere.2);
    let row = in_background(move || {
        psql(
            address,
            &["-A", "-t", "-c", "SELECT time, trace_id, attributes FROM calls ORDER BY time LIMIT 1", "metaflow"],
        )
    })
    .await
    .unwrap();
    assert_eq!(
        row.1,
        "2026-09-21 14:13:20.000000+00|00000000000000000000000000000000|{\"user_agent\":\"agent \\\"0\\\"\"}\n"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn psql_lists_tables() {
    let (_server, address) = with_calls().await;
    let Some((code, out, err)) = in_background(move || psql(address, &["-A", "-t", "-c", "\\dt", "metaflow"])).await
    else {
        return;
    };
    assert_eq!((code, err.as_str()), (0, ""), "{out}");
    let tables: Vec<_> = out.lines().map(|line| line.split('|').nth(1).unwrap()).collect();
    let mut expected: Vec<_> = TABLES.iter().map(|table| table.name).chain(["dictionary"]).collect();
    expected.sort_unstable();
    assert_eq!(tables, expected);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_driver_prepares_and_reads_binary_values() {
    let (_server, address) = with_calls().await;
    let client = client(address).await;
    let statement = client
        .prepare("SELECT endpoint, duration_ns, captured_complete, time, server_port, domain FROM calls WHERE endpoint = $1 AND duration_ns >= $2 ORDER BY time LIMIT 3")
        .await
        .unwrap();
    let rows = client.query(&statement, &[&"/slow", &10_000i64]).await.unwrap();
    assert_eq!(rows.len(), 3);
    assert_eq!(rows[0].get::<_, String>(0), "/slow");
    assert_eq!(rows[0].get::<_, i64>(1), 10_000);
    assert!(rows[0].get::<_, bool>(2));
    let since: Duration = rows[0].get::<_, SystemTime>(3).duration_since(SystemTime::UNIX_EPOCH).unwrap();
    assert_eq!(since, Duration::from_nanos(1_790_000_000_010_000_000));
    assert_eq!(rows[0].get::<_, i32>(4), 80);
    assert_eq!(rows[0].get::<_, Option<String>>(5), None);
    // The same statement again, and one that fails, and one after it.
    assert_eq!(client.query(&statement, &[&"/fast", &0i64]).await.unwrap().len(), 3);
    let error = client.query("SELECT nothing FROM calls", &[]).await.unwrap_err();
    assert_eq!(error.code().unwrap().code(), "42703");
    let rows = client.query("SELECT vlan, tunnel FROM flows WHERE packets_client > $1", &[&5i64]).await.unwrap();
    assert!(rows.is_empty());
    let lists =
        client.query_one("SELECT make_array(1, 2, NULL) AS a, make_array('x', 'y \"z\"') AS b", &[]).await.unwrap();
    assert_eq!(lists.get::<_, Vec<Option<i64>>>(0), [Some(1), Some(2), None]);
    assert_eq!(lists.get::<_, Vec<String>>(1), ["x", "y \"z\""]);
}

#[tokio::test(flavor = "multi_thread")]
async fn transactions_settings_and_empty_statements_are_acknowledged() {
    let (_server, address) = with_calls().await;
    let mut client = client(address).await;
    let transaction = client.transaction().await.unwrap();
    assert_eq!(transaction.query_one("SELECT count(*) FROM calls", &[]).await.unwrap().get::<_, i64>(0), 50);
    transaction.commit().await.unwrap();
    client.batch_execute("SET application_name = 'x'; -- ping").await.unwrap();
    client.batch_execute("").await.unwrap();
    client.batch_execute("-- ping").await.unwrap();
    let shown = client.simple_query("SHOW server_version").await.unwrap();
    assert!(shown.iter().any(|message| matches!(message, SimpleQueryMessage::Row(row) if row.get(0) == Some("16.6"))));
    let error = client.batch_execute("DELETE FROM calls").await.unwrap_err();
    assert_eq!(error.code().unwrap().code(), "25006");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_running_statement_is_cancelled_from_another_connection() {
    let (_server, address) = with_calls().await;
    let client = client(address).await;
    let cancel = client.cancel_token();
    let endless = "SELECT count(*) FROM generate_series(1, 100000000) a, generate_series(1, 100000000) b WHERE a.value * b.value = 7";
    let running = async {
        let error = client.simple_query(endless).await.unwrap_err();
        assert_eq!(error.code().unwrap().code(), "57014");
    };
    let cancelling = async {
        // A cancel that comes before the statement finds nothing to cancel.
        loop {
            cancel.cancel_query(NoTls).await.unwrap();
            tokio::task::yield_now().await;
        }
    };
    tokio::select! {
        () = running => {}
        () = cancelling => unreachable!(),
    }
    assert_eq!(client.query_one("SELECT count(*) FROM calls", &[]).await.unwrap().get::<_, i64>(0), 50);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_message_that_announces_a_gigabyte_ends_its_connection_and_statements_are_counted() {
    let (_server, address) = with_calls().await;
    let startup = b"\0\0\0\x29\0\x03\0\0user\0metaflow\0database\0metaflow\0\0";
    assert_eq!(startup.len(), 41);
    let mut stream = TcpStream::connect(address).await.unwrap();
    stream.write_all(startup).await.unwrap();
    let mut answer = [0];
    stream.read_exact(&mut answer).await.unwrap();
    assert_eq!(answer, *b"R", "it was let in");
    stream.write_all(b"Q\x3f\xff\xff\xf0SELECT 1").await.unwrap();
    // Ends only when the server hangs up.
    let _ = stream.read_to_end(&mut Vec::new()).await;
    let client = client(address).await;
    let mut kept = Vec::new();
    let error = loop {
        match client.prepare(&format!("SELECT {}", kept.len())).await {
            Ok(statement) => kept.push(statement),
            Err(error) => break error,
        }
    };
    assert_eq!((kept.len(), error.code().unwrap().code()), (1000, "53400"));
    kept.truncate(10);
    assert_eq!(client.query_one("SELECT 1", &[]).await.unwrap().get::<_, i64>(0), 1);
}

/// psycopg in an environment of its own, made once.
fn psycopg() -> Result<PathBuf, String> {
    let folder = PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join("psycopg");
    let python = folder.join("bin/python");
    let works =
        || Command::new(&python).args(["-c", "import psycopg"]).output().is_ok_and(|output| output.status.success());
    if !works() {
        let run = |program: &str, arguments: &[&str]| {
            let output =
                Command::new(program).args(arguments).output().map_err(|error| format!("{program}: {error}"))?;
            output.status.success().then_some(()).ok_or_else(|| String::from_utf8_lossy(&output.stderr).into_owned())
        };
        run("python3", &["-m", "venv", folder.to_str().unwrap()])?;
        run(python.to_str().unwrap(), &["-m", "pip", "install", "--quiet", "psycopg[binary]==3.2.*"])?;
    }
    works().then_some(python).ok_or_else(|| "psycopg is installed but cannot be imported".to_owned())
}

const PSYCOPG: &str = r#"
import datetime, sys, psycopg
with psycopg.connect(host="127.0.0.1", port=int(sys.argv[1]), user="metaflow", dbname="metaflow") as connection:
    for binary in (False, True):
        with connection.cursor(binary=binary) as cursor:
            cursor.execute("SELECT endpoint, duration_ns, time, captured_complete, duration_ns / 2.0, attributes FROM calls "
                           "WHERE endpoint = %s AND time >= %s AND duration_ns > %s ORDER BY time LIMIT 2",
                           ["/slow", datetime.datetime(2026, 9, 1, tzinfo=datetime.timezone.utc), 0], prepare=True)
            rows = cursor.fetchall()
            assert len(rows) == 2, rows
            endpoint, duration, time, complete, half, attributes = rows[0]
            assert (endpoint, duration, complete) == ("/slow", 5000, True), rows
            assert float(half) == 2500.0, rows
            assert time == datetime.datetime(2026, 9, 21, 14, 13, 20, 5000, tzinfo=datetime.timezone.utc), time
            assert attributes == {"user_agent": 'agent "5"'}, attributes
    try:
        connection.execute("SELECT wrong FROM calls")
        raise SystemExit("no error")
    except psycopg.errors.UndefinedColumn as error:
        assert "did you mean" in str(error) or "there is no column" in str(error), error
    connection.rollback()
    assert connection.execute("SELECT %s::text", ["x"]).fetchone() == ("x",)
    assert connection.execute("SELECT 1").fetchone() == (1,)
print("ok")
"#;

#[tokio::test(flavor = "multi_thread")]
async fn psycopg_prepares_with_text_and_binary_parameters() {
    let python = match in_background(psycopg).await {
        Ok(python) => python,
        Err(reason) => {
            eprintln!("skipped: psycopg cannot be installed: {reason}");
            return;
        }
    };
    let (_server, address) = with_calls().await;
    let port = address.port().to_string();
    let output = in_background(move || Command::new(python).args(["-c", PSYCOPG, &port]).output().unwrap()).await;
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
}
