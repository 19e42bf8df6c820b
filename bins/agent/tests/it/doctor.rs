//! What works on this machine, as the program tells it.

use std::process::{Command, Stdio};

use crate::program::{PROGRAM, records, run};

#[test]
fn each_part_is_tried_and_said_to_work_or_how_to_mend_it() {
    let ran = run(&["doctor", "--json"]);
    let findings = records(&ran.stdout);
    let features: Vec<_> = findings.iter().filter_map(|finding| finding["feature"].as_str()).collect();
    let expected = [
        "packets",
        "kernel_types",
        "ring_buffer",
        "system_calls",
        "datagram_peers",
        "uprobe",
        "processes",
        "tls_libraries",
    ];
    for feature in expected {
        assert!(features.contains(&feature), "{feature}: {features:?}");
    }
    for finding in &findings {
        assert_eq!(finding["works"].as_bool().unwrap(), finding["mend"].is_null(), "{finding}");
        assert!(finding["has"].is_string() && finding["needs"].is_string(), "{finding}");
    }
    let rights = findings.iter().find(|finding| finding["feature"] == "rights").unwrap()["has"].as_str().unwrap();
    if rights.contains("CAP_NET_ADMIN") && rights.contains("CAP_BPF") {
        let (kept, given_up) =
            rights.split_once("; watch and run keep ").unwrap().1.split_once(" and give up ").unwrap();
        assert!(kept.contains("CAP_BPF") && given_up.contains("CAP_NET_ADMIN"), "{rights}");
    }
    let works = findings.iter().filter(|finding| finding["works"] == true).count();
    assert_eq!(ran.code == 0, works == findings.len(), "{}", ran.stdout);
    let said = run(&["doctor"]).stdout;
    // What other processes have loaded may be another thing by now.
    let works = said.lines().filter(|line| line.starts_with("ok ")).count();
    assert!(said.ends_with(&format!("{works} of {} work\n", findings.len())), "{said}");
}

#[test]
fn without_any_right_nothing_works_and_it_says_what_to_do() {
    let nobody =
        ["--bounding-set=-all", "--inh-caps=-all", "--reuid=65534", "--clear-groups", PROGRAM, "doctor", "--json"];
    let Ok(output) = Command::new("setpriv").args(nobody).stdin(Stdio::null()).output() else {
        println!("skipped: there is no `setpriv` program (package util-linux)");
        return;
    };
    let said = String::from_utf8(output.stderr).unwrap();
    if said.contains("setpriv:") {
        println!("skipped: {said}");
        return;
    }
    assert_eq!(output.status.code(), Some(2), "{said}");
    let findings = records(std::str::from_utf8(&output.stdout).unwrap());
    let mend = |feature: &str| {
        let finding = findings.iter().find(|finding| finding["feature"] == feature).unwrap();
        finding["mend"].as_str().unwrap().to_owned()
    };
    assert!(mend("packets").contains("setcap"), "{findings:#?}");
    assert!(mend("ring_buffer").contains("CAP_BPF") && mend("uprobe").contains("CAP_PERFMON"), "{findings:#?}");
}
