use metaflow_protocol::tables::TABLES;
use serde_json::{Value, json};

use crate::lab::{Agent, calls, in_memory, post, raw};

#[tokio::test(flavor = "multi_thread")]
async fn health_says_what_came_in() {
    let server = in_memory().await;
    let address = server.address().unwrap();
    Agent::connect(address).await.send(0, &calls(0, &["/a", "/b"])).await.unwrap();
    let answer =
        raw(address, format!("GET /health HTTP/1.1\r\nHost: {address}\r\nConnection: close\r\n\r\n").as_bytes()).await;
    let answer = String::from_utf8(answer).unwrap();
    assert!(answer.starts_with("HTTP/1.1 200"), "{answer}");
    assert!(answer.contains("\"status\":\"ok\"") && answer.contains("\"rows\":2"), "{answer}");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_answer_comes_in_the_form_that_was_asked_for() {
    let server = in_memory().await;
    let address = server.address().unwrap();
    Agent::connect(address).await.send(0, &calls(0, &["/a", "/b"])).await.unwrap();
    let sql = "SELECT endpoint, request_bytes AS bytes, domain, time FROM calls ORDER BY time";
    let (_, head, body) = post(address, "/sql", "", sql).await;
    assert!(head.contains("application/json"), "{head}");
    let rows: Value = serde_json::from_str(&body).unwrap();
    assert_eq!(rows[0], json!({"endpoint": "/a", "bytes": 0, "domain": null, "time": "2026-09-21T14:13:20Z"}));
    assert_eq!(rows.as_array().unwrap().len(), 2);

    let quoted = json!({ "sql": sql }).to_string();
    let (_, head, body) = post(
        address,
        "/sql",
        "Content-Type: application/json\r\nAccept: text/html, application/x-ndjson;q=0.9\r\n",
        &quoted,
    )
    .await;
    assert!(head.contains("application/x-ndjson"), "{head}");
    assert_eq!(body.lines().count(), 2);
    serde_json::from_str::<Value>(body.lines().next().unwrap()).unwrap();

    let (_, head, body) = post(address, "/sql", "Accept: text/csv\r\n", sql).await;
    assert!(head.contains("text/csv"), "{head}");
    assert_eq!(body, "endpoint,bytes,domain,time\n/a,0,,2026-09-21T14:13:20Z\n/b,1,,2026-09-21T14:13:20.001Z\n");

    let (_, _, body) =
        post(address, "/sql?format=table", "", "SELECT endpoint, attributes FROM calls ORDER BY 1 LIMIT 1").await;
    assert!(body.starts_with("endpoint  attributes") && body.ends_with("(1 row)\n"), "{body}");
    for (format, empty) in [("json", "[]\n"), ("jsonl", ""), ("csv", "endpoint\n")] {
        let (status, _, body) =
            post(address, &format!("/sql?format={format}"), "", "SELECT endpoint FROM calls WHERE false").await;
        assert_eq!((status, body.as_str()), (200, empty));
    }
    let (status, _, body) = post(address, "/sql", "", "-- ping").await;
    assert_eq!((status, body.as_str()), (200, "[]\n"));
}

#[tokio::test(flavor = "multi_thread")]
async fn every_column_of_every_table_can_be_written_in_every_form() {
    let server = in_memory().await;
    let address = server.address().unwrap();
    Agent::connect(address).await.send(0, &calls(0, &["/a"])).await.unwrap();
    for table in TABLES.iter().map(|table| table.name).chain(["dictionary"]) {
        for format in ["json", "jsonl", "csv", "table"] {
            let (status, _, body) =
                post(address, &format!("/sql?format={format}"), "", &format!("SELECT * FROM {table}")).await;
            assert_eq!(status, 200, "{table} {format}: {body}");
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_wrong_question_gets_its_status_place_and_advice() {
    let server = in_memory().await;
    let address = server.address().unwrap();
    let (status, _, body) = post(address, "/sql", "", "SELECT endpoint FROM cals").await;
    let body: Value = serde_json::from_str(&body).unwrap();
    assert_eq!(status, 400);
    assert_eq!(body["error"], "there is no table `cals` at line 1, column 22: did you mean `calls`?");
    assert_eq!((&body["code"], &body["line"], &body["column"]), (&json!("42P01"), &json!(1), &json!(22)));
    for (path, headers, body, expected) in [
        ("/sql", "", "DROP TABLE calls", 403),
        ("/sql", "", "SELECT \u{1}", 400),
        ("/sql?format=xml", "", "SELECT 1", 406),
        ("/sql", "Accept: image/png\r\n", "SELECT 1", 406),
        ("/sql", "Content-Type: application/json\r\n", "SELECT 1", 400),
        ("/elsewhere", "", "SELECT 1", 404),
        ("/health", "", "", 405),
    ] {
        assert_eq!(post(address, path, headers, body).await.0, expected, "{path} {body}");
    }
    let long = "x".repeat(3 << 20);
    assert_eq!(post(address, "/sql", "", &long).await.0, 413);
}
