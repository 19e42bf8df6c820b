//! The command line.

use crate::program::run;

#[test]
fn what_is_wrong_with_the_command_line_is_said() {
    for arguments in [
        &[][..],
        &["replay"],
        &["replay", "x.pcap", "-o", "xml"],
        &["replay", "x.pcap", "--server", "nonsense"],
        &["replay", "x.pcap", "--server", "127.0.0.1:7700", "-o", "csv"],
        &["watch", "-c", "0"],
        &["watch", "--threads", "0"],
        &["run", "--server", "host:7700", "--threads", "many"],
        &["watch", "--duration", "soon"],
        &["run"],
        &["run", "--server", "host:99999"],
    ] {
        let ran = run(arguments);
        assert_eq!((ran.code, ran.stdout.as_str()), (2, ""), "{arguments:?}");
        assert!(!ran.stderr.is_empty());
    }
}

#[test]
fn help_says_what_there_is() {
    let help = run(&["--help"]).stdout;
    for part in ["replay", "watch", "run", "Exit codes", "metaflow-agent watch -i lo"] {
        assert!(help.contains(part), "{part}");
    }
    assert!(run(&["--version"]).stdout.starts_with("metaflow-agent 0."));
    assert!(run(&["replay", "--help"]).stdout.contains("standard input"));
}

#[test]
fn an_unknown_interface_is_named_with_its_neighbours() {
    let ran = run(&["watch", "-i", "l0"]);
    assert_eq!((ran.code, ran.stderr.lines().count()), (2, 1), "{}", ran.stderr);
    assert!(ran.stderr.contains("l0") && ran.stderr.contains("lo"), "{}", ran.stderr);
}
