use std::process::{Command, Output};

use crate::lab::{Agent, PROGRAM, Process, calls};

fn run(arguments: &[&str]) -> (i32, String, String) {
    let Output { status, stdout, stderr } = Command::new(PROGRAM).args(arguments).output().unwrap();
    let text = |bytes| String::from_utf8(bytes).unwrap();
    (status.code().unwrap(), text(stdout), text(stderr))
}

#[tokio::test(flavor = "multi_thread")]
async fn sql_asks_a_server_or_a_directory_and_says_which_to_use() {
    let folder = tempfile::tempdir().unwrap();
    let data = folder.path().to_str().unwrap();
    let sql = "SELECT endpoint, count(*) AS n FROM calls GROUP BY 1 ORDER BY 1";
    {
        let process = Process::start(folder.path());
        Agent::connect(process.address).await.send(0, &calls(0, &["/a", "/b", "/a"])).await.unwrap();
        let server = process.address.to_string();
        assert_eq!(run(&["sql", sql, "--server", &server]), (0, "endpoint,n\n/a,2\n/b,1\n".into(), String::new()));
        let table = "endpoint  n\n--------  -\n/a        2\n/b        1\n(2 rows)\n";
        assert_eq!(run(&["sql", sql, "--server", &server, "-o", "table"]).1, table);
        let (code, _, error) = run(&["sql", sql, "--data", data]);
        assert_eq!(code, 69);
        assert!(error.contains("--server") && error.lines().count() == 1, "{error}");
        let (code, _, error) = run(&["sql", "SELECT x FROM cals", "--server", &server]);
        assert_eq!(code, 2);
        assert_eq!(error, "metaflow-server: there is no table `cals` at line 1, column 15: did you mean `calls`?\n");
        let (code, _, error) = run(&["run", "--data", data, "--listen", "127.0.0.1:0"]);
        assert_eq!(code, 69, "{error}");
        let other = tempfile::tempdir().unwrap();
        let (code, _, error) = run(&["run", "--data", other.path().to_str().unwrap(), "--listen", &server]);
        assert_eq!(code, 69);
        assert!(error.lines().last().unwrap().contains("is in use: stop what listens there"), "{error}");
        process.signal(15);
        let mut process = process;
        process.child.wait().unwrap();
    }
    assert_eq!(
        run(&["sql", sql, "--data", data, "-o", "jsonl"]).1,
        "{\"endpoint\":\"/a\",\"n\":2}\n{\"endpoint\":\"/b\",\"n\":1}\n"
    );
    let (code, _, error) = run(&["sql", "SELECT x FROM cals", "--data", data]);
    assert_eq!((code, error.lines().count()), (2, 1), "{error}");
}

#[test]
fn what_is_wrong_with_the_command_line_is_said() {
    let folder = tempfile::tempdir().unwrap();
    let data = folder.path().to_str().unwrap();
    assert_eq!(run(&[]).0, 2);
    assert_eq!(run(&["run"]).0, 2);
    assert_eq!(run(&["run", "--data", data, "--listen", "nonsense"]).0, 2);
    assert_eq!(run(&["run", "--storage", "redis://x"]).0, 2);
    let (code, _, error) = run(&["run", "--data", data, "--listen", "0.0.0.0:0"]);
    assert_eq!(code, 78);
    assert!(error.contains("--insecure"), "{error}");
    let (code, _, error) = run(&["run", "--data", data, "--listen", "127.0.0.1:0", "--listen-postgres", "0.0.0.0:0"]);
    assert_eq!(code, 78, "{error}");
    let (code, _, error) = run(&["sql", "SELECT 1", "--server", "127.0.0.1:1"]);
    assert_eq!(code, 69);
    assert!(error.contains("no server answers at 127.0.0.1:1"), "{error}");
    let (code, _, error) = run(&["sql", "SELECT 1", "--data", "/nowhere/at/all"]);
    assert_eq!((code, error.as_str()), (2, "metaflow-server: /nowhere/at/all is no directory\n"));
    let file = folder.path().join("file");
    std::fs::write(&file, "").unwrap();
    let (code, _, error) = run(&["run", "--data", file.to_str().unwrap(), "--listen", "127.0.0.1:0"]);
    assert_eq!(code, 69, "{error}");
    assert!(run(&["--help"]).1.contains("psql -h"));
    assert!(run(&["--version"]).1.starts_with("metaflow-server 0."));
}
