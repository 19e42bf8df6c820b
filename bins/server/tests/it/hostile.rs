use std::time::Duration;

use metaflow_protocol::Retry;
use metaflow_server::{Server, StoreAt};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use crate::lab::{Agent, ask, calls, config, in_memory, post, raw};

#[tokio::test(flavor = "multi_thread")]
async fn bytes_that_are_no_protocol_cost_one_connection() {
    let server = in_memory().await;
    let address = server.address().unwrap();
    let postgres = server.postgres_address().unwrap();
    let garbage: Vec<u8> = (0..100_000u32).map(|number| (number.wrapping_mul(2_654_435_761) >> 24) as u8).collect();
    let preface = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";
    let shots: [&[u8]; 7] = [
        &garbage,
        b"GET / HTTP/9.9\r\n\r\n",
        b"POST /sql HTTP/1.1\r\nContent-Length: -1\r\n\r\n",
        b"POST /sql HTTP/1.1\r\nHost: x\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n",
        &[preface.as_slice(), &garbage].concat(),
        b"\0\0\0\x08\x04\xd2\x16\x2f",
        b"\xff\xff\xff\xff\0\x03\0\0",
    ];
    for shot in shots {
        for target in [address, postgres] {
            // A connection that stays open waiting for more is as good as one that is closed.
            let _ = tokio::time::timeout(Duration::from_secs(2), raw(target, shot)).await;
        }
    }
    assert_eq!(ask(address, "SELECT 1").await, ["1"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_damaged_batch_is_refused_and_the_next_one_is_taken() {
    let server = in_memory().await;
    let address = server.address().unwrap();
    let mut agent = Agent::connect(address).await;
    let good = agent.request(0, &calls(0, &["/a", "/b"]));
    let mut refused = 0;
    for at in (0..good.batch.len()).step_by(97) {
        let mut bytes = good.batch.to_vec();
        bytes[at] ^= 0xff;
        let mut request = good.clone();
        request.batch = bytes.into();
        request.sequence = 1000 + at as u64;
        if let Err(status) = agent.client.append(request).await {
            assert_eq!(Retry::of(&status), Retry::Never, "{status}");
            refused += 1;
        }
    }
    assert!(refused > 0);
    let mut good = good;
    // The numbers of refused batches were never stored; those that passed are far below.
    good.sequence = 1_000_000;
    let mut huge = good.clone();
    huge.batch = vec![0; 17 << 20].into();
    assert_eq!(Retry::of(&agent.client.append(huge).await.unwrap_err()), Retry::Never);
    agent.client.append(good).await.unwrap();
    assert_eq!(ask(address, "SELECT 1").await, ["1"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_client_that_sends_a_byte_now_and_then_is_hung_up_on_while_others_are_answered() {
    let mut settings = config(StoreAt::Memory);
    settings.limits.request_time = Duration::from_millis(300);
    let server = Server::start(settings).await.unwrap();
    let address = server.address().unwrap();
    let mut slow = TcpStream::connect(address).await.unwrap();
    slow.write_all(b"POST /sql HT").await.unwrap();
    assert_eq!(ask(address, "SELECT 1").await, ["1"]);
    let mut rest = Vec::new();
    // Ends only when the server hangs up.
    let _ = slow.read_to_end(&mut rest).await;
    let half = b"POST /sql HTTP/1.1\r\nHost: x\r\nConnection: close\r\nContent-Length: 100\r\n\r\nSELECT";
    assert!(raw(address, half).await.starts_with(b"HTTP/1.1 408"));
}

#[tokio::test(flavor = "multi_thread")]
async fn heavy_questions_leave_room_for_what_agents_send() {
    let mut settings = config(StoreAt::Memory);
    settings.limits.query = settings.limits.query.with_timeout(Duration::from_secs(2)).with_concurrent(2);
    let server = Server::start(settings).await.unwrap();
    let address = server.address().unwrap();
    // The left side of a join is kept, and is small: what ends this is its time, not its memory.
    let endless = "SELECT count(*) FROM generate_series(1, 1000) a, generate_series(1, 100000000000) b WHERE a.value * b.value = 7";
    let heavy: Vec<_> =
        (0..6).map(|_| tokio::spawn(async move { post(address, "/sql", "", endless).await.0 })).collect();
    let mut agent = Agent::connect(address).await;
    for sequence in 0..20 {
        agent.send(sequence, &calls(sequence, &["/a"])).await.unwrap();
    }
    for question in heavy {
        assert_eq!(question.await.unwrap(), 504);
    }
    assert_eq!(ask(address, "SELECT count(*) FROM calls").await, ["20"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn whoever_does_not_read_the_answer_does_not_keep_the_turn() {
    let mut settings = config(StoreAt::Memory);
    settings.limits.query = settings.limits.query.with_timeout(Duration::from_secs(1)).with_concurrent(1);
    let server = Server::start(settings).await.unwrap();
    let address = server.address().unwrap();
    let mut deaf = TcpStream::connect(address).await.unwrap();
    let sql = "SELECT value, repeat('x', 1000) FROM generate_series(1, 10000000)";
    let request = format!("POST /sql HTTP/1.1\r\nHost: x\r\nContent-Length: {}\r\n\r\n{sql}", sql.len());
    deaf.write_all(request.as_bytes()).await.unwrap();
    // The first bytes show that the answer is under way.
    deaf.read_exact(&mut [0; 64]).await.unwrap();
    loop {
        // Its time passes, and the turn is free.
        if post(address, "/sql", "", "SELECT 1").await.0 == 200 {
            break;
        }
    }
}
