//! One thread or several: what is observed is the same. Needs root.

use std::collections::BTreeMap;

use rustix::process::Signal;
use serde_json::Value;

use crate::program::Running;
use crate::server::Server;
use crate::shop::{Shop, cannot_capture, collect};

/// How often each record is there, without what two rings see differently: numbers, and times.
fn as_multiset(records: &[Value]) -> BTreeMap<String, usize> {
    let mut found = BTreeMap::new();
    for record in records {
        let mut record = record.as_object().unwrap().clone();
        record.retain(|name, _| !name.ends_with("_ns") && !["id", "flow_id", "process"].contains(&name.as_str()));
        *found.entry(Value::Object(record).to_string()).or_default() += 1;
    }
    found
}

#[test]
fn the_same_traffic_gives_the_same_records_with_one_thread_and_with_four() {
    if cannot_capture() {
        return;
    }
    let shop = Shop::open();
    let watch = |threads| Running::start(&["watch", "-i", "lo", "-o", "jsonl", "--threads", threads]);
    let agents = ["1", "4"].map(watch);
    agents.iter().for_each(|agent| _ = agent.says("watching lo"));
    for _ in 0..50 {
        shop.visit();
    }
    let [one, four] = agents.map(|agent| collect(&agent, &shop, 200));
    let ids: std::collections::HashSet<_> = four.iter().filter_map(|record| record["id"].as_str()).collect();
    assert_eq!(ids.len(), 150, "numbers of calls are unique over all threads");
    for client in four.iter().map(|record| &record["client"]) {
        let of_client = four.iter().filter(|record| &record["client"] == client);
        let paths: Vec<_> = of_client.filter_map(|record| record["resource"].as_str()).collect();
        assert_eq!(paths, ["/cart/1", "/missing", "/cart/2"], "the order within a conversation");
    }
    assert_eq!(as_multiset(&one), as_multiset(&four));
}

#[test]
fn exactly_as_many_records_as_asked_for_come_of_all_threads_together() {
    if cannot_capture() {
        return;
    }
    let shop = Shop::open();
    for (threads, format) in [("1", "jsonl"), ("4", "jsonl"), ("4", "csv")] {
        let mut agent = Running::start(&["watch", "-i", "lo", "-c", "37", "-o", format, "--threads", threads]);
        agent.says("watching lo");
        for _ in 0..30 {
            shop.visit();
        }
        assert_eq!(agent.wait(), 0);
        assert_eq!(agent.stdout.iter().count(), 37 + usize::from(format == "csv"), "{threads} threads, {format}");
    }
}

#[test]
fn told_to_end_every_thread_hands_on_what_it_has() {
    if cannot_capture() {
        return;
    }
    let shop = Shop::open();
    for threads in ["1", "4"] {
        let server = Server::start(&[]);
        let mut agent =
            Running::start(&["run", "-i", "lo", "--threads", threads, "--server", &server.address.to_string()]);
        agent.says("observing lo");
        for _ in 0..30 {
            shop.visit();
        }
        let open = [shop.connect(), shop.connect(), shop.connect()];
        agent.signal(Signal::TERM);
        assert_eq!(agent.wait(), 0);
        agent.says("everything has been sent");
        let of_shop = |table| server.stored.ports(table).into_iter().filter(|port| *port == shop.port()).count();
        assert_eq!((of_shop("calls"), of_shop("flows")), (90, 33), "{threads} threads");
        assert_eq!(server.stored.epochs(), 1);
        drop(open);
    }
}

#[test]
fn a_table_says_the_day_once_whatever_the_thread() {
    if cannot_capture() {
        return;
    }
    let shop = Shop::open();
    let mut agent = Running::start(&["watch", "-i", "lo", "-c", "60", "-o", "table", "--threads", "4"]);
    agent.says("watching lo");
    for _ in 0..20 {
        shop.visit();
    }
    assert_eq!(agent.wait(), 0);
    let lines: Vec<_> = agent.stdout.iter().collect();
    let days = lines.iter().filter(|line| line.starts_with("-- ")).count();
    // Two if midnight has passed.
    assert!((1..=2).contains(&days) && lines.len() == 1 + days + 60, "{lines:#?}");
}
