use metaflow_protocol::tables::CALLS;
use metaflow_protocol::{HelloRequest, Retry};
use metaflow_server::{Server, StoreAt};
use tonic::Code;

use crate::lab::{Agent, ask, calls, config, in_memory};

#[tokio::test(flavor = "multi_thread")]
async fn what_an_agent_sends_is_answered_by_name() {
    let server = in_memory().await;
    let address = server.address().unwrap();
    let mut agent = Agent::connect(address).await;
    let hello = HelloRequest { sender: Some(agent.sender.clone()), software: "test".to_owned() };
    let hello = agent.client.hello(hello).await.unwrap().into_inner();
    assert!(hello.tables.iter().any(|table| table.table == "calls" && table.version == CALLS.version));
    assert!(hello.batch_bytes > 0 && hello.batch_rows > 0);

    assert_eq!(agent.send(0, &calls(0, &["/a", "/b", "/a"])).await.unwrap(), 3);
    assert_eq!(agent.send(1, &calls(3, &["/b", "/c"])).await.unwrap(), 2);
    let sql = "SELECT endpoint, count(*), min(agent), min(client), min(server) FROM calls GROUP BY endpoint ORDER BY 1";
    let end = "node-7,127.0.0.1:40000,127.0.0.1:80";
    assert_eq!(ask(address, sql).await, [format!("/a,2,{end}"), format!("/b,2,{end}"), format!("/c,1,{end}")]);
    let sql = "SELECT trace_id, attributes['user_agent'] AS a, start_ns FROM calls WHERE endpoint = '/c'";
    assert_eq!(ask(address, sql).await, ["00000000000000000000000000000004,\"agent \"\"4\"\"\",1790000000004000000"]);
    let sql = "SELECT dictionary, name FROM dictionary WHERE dictionary IN ('endpoint', 'agent') ORDER BY 1, 2";
    assert_eq!(ask(address, sql).await, ["agent,node-7", "endpoint,/a", "endpoint,/b", "endpoint,/c"]);
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_same_batch_sent_again_is_stored_once() {
    let server = in_memory().await;
    let address = server.address().unwrap();
    let mut agent = Agent::connect(address).await;
    for _ in 0..3 {
        assert_eq!(agent.send(5, &calls(0, &["/a", "/b"])).await.unwrap(), 2);
    }
    assert_eq!(ask(address, "SELECT count(*) FROM calls").await, ["2"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn agents_that_bring_the_same_new_names_at_once_share_their_numbers() {
    let server = in_memory().await;
    let address = server.address().unwrap();
    let tasks = (0..8u64).map(|number| {
        tokio::spawn(async move {
            let mut agent = Agent::connect(address).await;
            agent.sender.epoch = number;
            for sequence in 0..10 {
                let names: Vec<_> = (0..20).map(|name| format!("/{}", sequence * 20 + name)).collect();
                let names: Vec<_> = names.iter().map(String::as_str).collect();
                agent.send(sequence, &calls(sequence * 20, &names)).await.unwrap();
            }
        })
    });
    for task in tasks.collect::<Vec<_>>() {
        task.await.unwrap();
    }
    let sql = "SELECT count(*), min(n), max(n) FROM (SELECT endpoint, count(*) AS n FROM calls GROUP BY endpoint) AS e";
    assert_eq!(ask(address, sql).await, ["200,8,8"]);
    assert_eq!(
        ask(address, "SELECT count(*), max(id) FROM dictionary WHERE dictionary = 'endpoint'").await,
        ["200,200"]
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn names_are_there_again_after_a_restart() {
    let folder = tempfile::tempdir().unwrap();
    let at = StoreAt::directory(folder.path());
    for life in 0..3u64 {
        let server = Server::start(config(at.clone())).await.unwrap();
        let address = server.address().unwrap();
        let mut agent = Agent::connect(address).await;
        agent.sender.epoch = life;
        let new = format!("/life-{life}");
        agent.send(0, &calls(life * 2, &["/always", &new])).await.unwrap();
        let lines = ask(address, "SELECT endpoint, count(*) FROM calls GROUP BY 1 ORDER BY 1").await;
        assert_eq!(lines.len() as u64, life + 2);
        assert_eq!(lines[0], format!("/always,{}", life + 1));
        server.stop().await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_refusal_says_whether_to_try_again() {
    let mut settings = config(StoreAt::Memory);
    settings.limits.wire = settings.limits.wire.with_batch_rows(3);
    let server = Server::start(settings).await.unwrap();
    let mut agent = Agent::connect(server.address().unwrap()).await;
    let good = agent.request(0, &calls(0, &["/a"]));
    let mut refused = Vec::new();
    for change in 0..6 {
        let mut request = good.clone();
        match change {
            0 => request.table = "no such table".to_owned(),
            1 => request.schema_version += 1,
            2 => request.sender = None,
            3 => request.batch = request.batch.slice(..request.batch.len() / 2),
            4 => request.table = "flows".to_owned(),
            _ => request = agent.request(0, &calls(0, &["/a", "/b", "/c", "/d"])),
        }
        let status = agent.client.append(request).await.unwrap_err();
        assert_eq!(Retry::of(&status), Retry::Never, "{status}");
        refused.push(status.code());
    }
    let expected = [
        Code::Unimplemented,
        Code::Unimplemented,
        Code::InvalidArgument,
        Code::InvalidArgument,
        Code::InvalidArgument,
        Code::OutOfRange,
    ];
    assert_eq!(refused, expected);
    agent.client.append(good).await.unwrap();
    assert_eq!(ask(server.address().unwrap(), "SELECT count(*) FROM calls").await, ["1"]);
}
