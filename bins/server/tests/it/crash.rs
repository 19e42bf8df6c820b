use crate::lab::{Agent, Process, ask, calls};

/// `kill -9` while batches come in: what was acknowledged is there once, and names are right, whatever happened to the rest.
#[tokio::test(flavor = "multi_thread")]
async fn what_was_acknowledged_survives_kill_9_and_is_there_once() {
    let folder = tempfile::tempdir().unwrap();
    let mut acknowledged = 0u64;
    let mut next = 0u64;
    for round in 0..4u64 {
        let mut process = Process::start(folder.path());
        let mut agent = Agent::connect(process.address).await;
        if round > 0 {
            let rows = ask(process.address, "SELECT count(*), count(DISTINCT request_bytes) FROM calls").await;
            let (count, distinct) = rows[0].split_once(',').unwrap();
            assert_eq!(count, distinct, "a row is there twice");
            let count: u64 = count.parse().unwrap();
            // Of the batch that was under way nothing or everything is there.
            assert!(
                count == acknowledged * 3 || count == (acknowledged + 1) * 3,
                "{count} rows of {acknowledged} batches"
            );
        }
        // The kill comes from another thread, somewhere between two instructions of the server.
        let pid = process.child.id();
        let (told, tell) = tokio::sync::oneshot::channel::<()>();
        let killer = tokio::spawn(async move {
            let _ = tell.await;
            std::process::Command::new("kill").args(["-9", &pid.to_string()]).status().unwrap();
        });
        let mut told = Some(told);
        for number in 0.. {
            // Every batch brings a name of its own, so that names and rows race to the disk together.
            let name = format!("/batch-{next}");
            let batch = calls(next * 3, &[&name, "/always", &name]);
            match agent.send(next, &batch).await {
                Ok(_) => {
                    next += 1;
                    acknowledged = next;
                }
                Err(_) => break,
            }
            if number == 10 + round * 7 {
                let _ = told.take().map(|told| told.send(()));
            }
        }
        drop(told);
        killer.await.unwrap();
        process.child.wait().unwrap();
    }
    let process = Process::start(folder.path());
    let mut agent = Agent::connect(process.address).await;
    // The unacknowledged batch again, under its old number: there once.
    let name = format!("/batch-{next}");
    agent.send(next, &calls(next * 3, &[&name, "/always", &name])).await.unwrap();
    let total = next + 1;
    let counts =
        ask(process.address, "SELECT count(*), count(DISTINCT request_bytes), count(DISTINCT endpoint) FROM calls")
            .await;
    assert_eq!(counts, [format!("{0},{0},{1}", total * 3, total + 1)]);
    let wrong = "SELECT count(*) FROM calls WHERE endpoint <> '/always' AND endpoint <> '/batch-' || CAST(CAST(request_bytes AS BIGINT) / 3 AS VARCHAR)";
    assert_eq!(ask(process.address, wrong).await, ["0"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_told_to_end_ends_in_order_and_gives_its_directory_free() {
    let folder = tempfile::tempdir().unwrap();
    for signal in [15, 2] {
        let mut process = Process::start(folder.path());
        Agent::connect(process.address).await.send(signal as u64, &calls(0, &["/a"])).await.unwrap();
        process.signal(signal);
        let status = process.child.wait().unwrap();
        assert_eq!(status.code(), Some(0), "signal {signal}");
    }
    let process = Process::start(folder.path());
    assert_eq!(ask(process.address, "SELECT count(*) FROM calls").await, ["2"]);
}
