use protocol_parsers::{Opening, Options, Side};

use crate::talk::Talk;

fn packet(sequence: u8, payload: impl AsRef<[u8]>) -> Vec<u8> {
    let payload = payload.as_ref();
    let mut bytes = (payload.len() as u32).to_le_bytes();
    bytes[3] = sequence;
    [&bytes, payload].concat()
}

fn packets(first: u8, payloads: &[&[u8]]) -> Vec<u8> {
    payloads.iter().enumerate().flat_map(|(number, payload)| packet(first + number as u8, payload)).collect()
}

fn greeting() -> Vec<u8> {
    packet(0, b"\x0a8.0.26\0\x07\0\0\0abcdefgh\0\xff\xf7\xff\x02\0\xff\x8f\x15\0\0\0\0\0\0\0\0\0\0ijklmnopqrst\0mysql_native_password\0")
}

/// A login of `root` to `shop`, without attributes.
fn login(capabilities: u32) -> Vec<u8> {
    let capabilities = capabilities | 0x0000_8208;
    let fixed = [&capabilities.to_le_bytes()[..], &[0, 0, 0, 1, 33], &[0; 23]].concat();
    packet(1, [&fixed, &b"root\0\x02xyshop\0"[..]].concat())
}

const OK: &[u8] = b"\0\0\0\x02\0\0\0";
const EOF: &[u8] = b"\xfe\0\0\x02\0";
const EOF_MORE: &[u8] = b"\xfe\0\0\x0a\0";
const COLUMN: &[u8] = b"\x03def\0\x01t\x01t\x01a\x01a\x0c\x3f\0\x0b\0\0\0\x03\0\0\0\0\0";

fn query(sql: &str) -> Vec<u8> {
    packet(0, [b"\x03", sql.as_bytes()].concat())
}

fn line(kind: &str, bytes: (usize, usize), rest: &str) -> String {
    format!("mysql {kind} bytes {}/{} {rest}", bytes.0, bytes.1)
}

#[test]
fn login_query_and_quit() {
    let rows = packets(1, &[b"\x01", COLUMN, EOF, b"\x01x", b"\xfb", EOF]);
    Talk::tcp()
        .server(greeting())
        .client(login(0))
        .server(packet(2, OK))
        .client(query("SELECT a FROM t WHERE b = 'x'"))
        .server(&rows)
        .client(packet(0, b"\x01"))
        .expect(&[
            &line(
                "request_response ok at 2000 for 1000",
                (login(0).len(), 11),
                "request_type=\"LOGIN\" domain=\"shop\" endpoint=\"LOGIN\" status_code=\"0\" db.user=Text(\"root\")",
            ),
            &line(
                "request_response ok at 4000 for 1000",
                (34, rows.len()),
                "request_type=\"COM_QUERY\" domain=\"shop\" resource=\"SELECT a FROM t WHERE b = ?\" endpoint=\"SELECT t\" status_code=\"0\"",
            ),
            &line("one_way ok at 6000", (5, 0), "request_type=\"COM_QUIT\" domain=\"shop\" endpoint=\"COM_QUIT\""),
        ]);
}

#[test]
fn results_without_an_eof_between_columns_and_rows() {
    let rows = packets(1, &[b"\x01", COLUMN, b"\x01x", b"\xfe\0\0\x02\0\0\0"]);
    let none = packets(1, &[b"\x01", COLUMN, b"\xfe\0\0\x02\0\0\0"]);
    let calls = Talk::tcp()
        .client(query("SELECT 1"))
        .server(&rows)
        .client(query("SELECT 2"))
        .server(&none)
        .client(packet(0, b"\x0e"))
        .calls();
    assert_eq!(calls.len(), 3);
    assert!(calls[0].contains(&format!("for 1000 bytes 13/{}", rows.len())), "{calls:?}");
    assert!(calls[1].contains(&format!("for 1000 bytes 13/{}", none.len())), "{calls:?}");
    assert!(calls[2].contains("COM_PING"), "{calls:?}");
}

#[test]
fn a_damaged_column_is_one_however_its_bytes_come() {
    let rows = packets(1, &[b"\x01", &[0xff; 26], b"\x01x", EOF]);
    Talk::tcp().client(query("SELECT a FROM t")).server(&rows).expect(&[&line(
        "request_response ok at 1000 for 1000",
        (20, rows.len()),
        "request_type=\"COM_QUERY\" resource=\"SELECT a FROM t\" endpoint=\"SELECT t\" status_code=\"0\"",
    )]);
}

#[test]
fn several_results_and_an_error_within_rows() {
    let several = [
        packets(1, &[b"\x01", COLUMN, EOF, b"\x01x", EOF_MORE]),
        packets(6, &[b"\0\0\0\x0a\0\0\0", b"\x01", COLUMN, EOF, EOF]),
    ]
    .concat();
    let broken = packets(1, &[b"\x01", COLUMN, EOF, b"\x01x", b"\xff\x25\x05#70100killed"]);
    Talk::tcp().client(query("CALL p()")).server(&several).client(query("SELECT a FROM t")).server(&broken).expect(&[
        &line(
            "request_response ok at 1000 for 1000",
            (13, several.len()),
            "request_type=\"COM_QUERY\" resource=\"CALL p()\" endpoint=\"CALL p\" status_code=\"0\"",
        ),
        &line(
            "request_response server_error at 3000 for 1000",
            (20, broken.len()),
            "request_type=\"COM_QUERY\" resource=\"SELECT a FROM t\" endpoint=\"SELECT t\" status_code=\"1317\" exception=\"killed\"",
        ),
    ]);
}

#[test]
fn prepared_statements_keep_their_text() {
    let prepared = packets(1, &[b"\0\x07\0\0\0\x01\0\x01\0\0\0\0", COLUMN, EOF, COLUMN, EOF]);
    let rows = packets(1, &[b"\x01", COLUMN, EOF, b"\0\0\x01x", EOF]);
    let execute = |id: u8| packet(0, [&[0x17, id, 0, 0, 0, 0, 1, 0, 0, 0][..]].concat());
    let text = "resource=\"SELECT a FROM t WHERE b = ?\" endpoint=\"SELECT t\"";
    Talk::tcp()
        .client(packet(0, b"\x16SELECT a FROM t WHERE b = ?"))
        .server(&prepared)
        .client(execute(7))
        .server(&rows)
        .client(execute(9))
        .server(packet(1, b"\xff\xdb\x04#HY000unknown statement"))
        .client([packet(0, b"\x19\x07\0\0\0"), packet(0, b"\x0e")].concat())
        .server(packet(1, OK))
        .expect(&[
            &line(
                "request_response ok at 1000 for 1000",
                (32, prepared.len()),
                &format!("request_type=\"COM_STMT_PREPARE\" {text} status_code=\"0\""),
            ),
            &line(
                "request_response ok at 3000 for 1000",
                (14, rows.len()),
                &format!("request_type=\"COM_STMT_EXECUTE\" {text} status_code=\"0\""),
            ),
            &line(
                "request_response client_error at 5000 for 1000",
                (14, 30),
                "request_type=\"COM_STMT_EXECUTE\" endpoint=\"COM_STMT_EXECUTE\" status_code=\"1243\" exception=\"unknown statement\" \
                 db.mysql.statement_id=Number(9) incomplete",
            ),
            &line("one_way ok at 7000", (9, 0), &format!("request_type=\"COM_STMT_CLOSE\" {text}")),
            &line("request_response ok at 7000 for 1000", (5, 11), "request_type=\"COM_PING\" endpoint=\"COM_PING\" status_code=\"0\""),
        ]);
}

#[test]
fn rows_that_are_fetched_through_a_cursor() {
    let prepared = packets(1, &[b"\0\x07\0\0\0\x01\0\0\0\0\0\0", COLUMN, EOF]);
    // No rows: the client asks for them.
    let opened = packets(1, &[b"\x01", COLUMN, b"\xfe\0\0\x42\0"]);
    let some = packets(1, &[b"\0\0\x01x", b"\xfe\0\0\x42\0"]);
    let last = packets(1, &[b"\0\0\x01y", b"\xfe\0\0\x82\0"]);
    let fetch = packet(0, b"\x1c\x07\0\0\0\x01\0\0\0");
    let text = "resource=\"SELECT a FROM t\" endpoint=\"SELECT t\" status_code=\"0\"";
    let call = |kind: &str, at: u32, bytes: (usize, usize)| {
        let about = format!("request_response ok at {at} for 1000");
        line(&about, bytes, &format!("request_type=\"COM_STMT_{kind}\" {text}"))
    };
    Talk::tcp()
        .client(packet(0, b"\x16SELECT a FROM t"))
        .server(&prepared)
        .client(packet(0, b"\x17\x07\0\0\0\x01\x01\0\0\0"))
        .server(&opened)
        .client(&fetch)
        .server(&some)
        .client(&fetch)
        .server(&last)
        .expect(&[
            &call("PREPARE", 1000, (20, prepared.len())),
            &call("EXECUTE", 3000, (14, opened.len())),
            &call("FETCH", 5000, (13, some.len())),
            &call("FETCH", 7000, (13, last.len())),
        ]);
}

#[test]
fn a_login_with_questions_about_the_password_that_fails() {
    let failure = b"\xff\x15\x04#28000Access denied";
    Talk::tcp()
        .server(greeting())
        .client(login(0))
        .server(packet(2, b"\xfecaching_sha2_password\0salt\0"))
        .client(packet(3, b"answer"))
        .server(packet(4, b"\x01\x04"))
        .client(packet(5, b"password\0"))
        .server(packet(6, failure))
        .expect(&[&line(
            "request_response client_error at 2000 for 5000",
            (login(0).len(), 26),
            "request_type=\"LOGIN\" domain=\"shop\" endpoint=\"LOGIN\" status_code=\"1045\" exception=\"Access denied\" db.user=Text(\"root\")",
        )]);
}

#[test]
fn the_schema_follows_what_succeeds() {
    let calls = Talk::tcp()
        .client(packet(0, b"\x02one"))
        .server(packet(1, OK))
        .client(query("USE `two`"))
        .server(packet(1, b"\xff\x19\x04#42000Unknown database"))
        .client(query("use three"))
        .server(packet(1, OK))
        .client(packet(0, b"\x0e"))
        .server(packet(1, OK))
        .calls();
    let domains: Vec<_> =
        calls.iter().map(|call| call.split("domain=\"").nth(1).and_then(|rest| rest.split('"').next())).collect();
    assert_eq!(domains, [None, Some("one"), Some("one"), Some("three")]);
}

#[test]
fn a_file_loaded_from_the_client() {
    Talk::tcp()
        .client(query("LOAD DATA LOCAL INFILE 'x' INTO TABLE t"))
        .server(packet(1, b"\xfbx"))
        .client([packet(2, [b'r'; 100]), packet(3, b"")].concat())
        .server(packet(4, OK))
        .client(packet(0, b"\x0e"))
        .server(packet(1, OK))
        .expect(&[
            &line(
                "request_response ok at 1000 for 3000",
                (44, 17),
                "request_type=\"COM_QUERY\" resource=\"LOAD DATA LOCAL INFILE ? INTO TABLE t\" endpoint=\"LOAD t\" status_code=\"0\"",
            ),
            &line("request_response ok at 5000 for 1000", (5, 11), "request_type=\"COM_PING\" endpoint=\"COM_PING\" status_code=\"0\""),
        ]);
}

#[test]
fn after_a_change_to_tls_nothing_is_read() {
    let request = packet(1, [&[0x85, 0xae, 0xff, 0x19, 0, 0, 0, 1, 33][..], &[0; 23]].concat());
    Talk::tcp().server(greeting()).client(request).client("\x16\x03\x01\0\x05hello").expect(&[]);
}

#[test]
fn a_gap_within_rows() {
    let rows = packets(1, &[b"\x01", COLUMN, EOF]);
    Talk::tcp()
        .client(query("SELECT 1"))
        .server([&rows, &packet(4, [b'r'; 500])[..100]].concat())
        .gap(Side::Server, 404)
        .server(packets(5, &[b"\x01x", EOF]))
        .client(query("SELECT 2"))
        .known_gap(Side::Server, 50)
        .client(packet(0, b"\x0e"))
        .server(packet(1, OK))
        .expect(&[
            &line(
                "request_response ok at 1000 for 2000",
                (13, rows.len() + 504 + 15),
                "request_type=\"COM_QUERY\" resource=\"SELECT ?\" endpoint=\"SELECT\" status_code=\"0\"",
            ),
            &line(
                "request_only unknown at 4000",
                (13, 0),
                "request_type=\"COM_QUERY\" resource=\"SELECT ?\" endpoint=\"SELECT\" incomplete",
            ),
            &line(
                "request_response ok at 6000 for 1000",
                (5, 11),
                "request_type=\"COM_PING\" endpoint=\"COM_PING\" status_code=\"0\"",
            ),
        ]);
}

#[test]
fn joined_late_at_an_answer() {
    Talk::new(Opening::TCP_JOINED).client(packet(1, b"\xff\x7a\x04#42S02No table")).server(query("SELECT 1")).expect(
        &[
            &format!(
                "{} turned",
                line("response_only client_error at 1000", (0, 21), "status_code=\"1146\" exception=\"No table\"")
            ),
            &format!(
                "{} turned",
                line(
                    "request_only unknown at 2000",
                    (13, 0),
                    "request_type=\"COM_QUERY\" resource=\"SELECT ?\" endpoint=\"SELECT\""
                )
            ),
        ],
    );
}

/// The answer to a challenge begins like no command; the command behind it is none the less one.
#[test]
fn joined_within_a_login() {
    let challenge = [&b"\xfemysql_native_password\0"[..], &[7; 20], b"\0"].concat();
    Talk::new(Opening { sides_known: true, ..Opening::TCP_JOINED })
        .server(packet(1, &challenge))
        .client(packet(2, [0x15; 20]))
        .server(packet(3, OK))
        .client(query("SET NAMES utf8"))
        .server(packet(1, OK))
        .expect(&[&line(
            "request_response ok at 4000 for 1000",
            (19, 11),
            "request_type=\"COM_QUERY\" resource=\"SET NAMES utf8\" endpoint=\"SET\" status_code=\"0\"",
        )]);
}

#[test]
fn a_statement_longer_than_is_kept() {
    let sql = format!("SELECT * FROM t WHERE a = '{}' AND b = 1", "x".repeat(200_000));
    let talk = Talk::tcp().client(query(&sql)).server(packet(1, OK)).client(packet(0, b"\x0e")).server(packet(1, OK));
    for most in [usize::MAX, 1460] {
        let calls = talk.calls_with(Options::default(), most);
        assert_eq!(calls.len(), 2, "{calls:?}");
        assert!(
            calls[0].starts_with(&format!("mysql request_response ok at 1000 for 1000 bytes {}/11", sql.len() + 5)),
            "{calls:?}"
        );
        assert!(calls[0].contains("resource=\"SELECT * FROM t WHERE a = ?"), "{calls:?}");
        assert_eq!(calls[0].contains("truncated=Text(\"resource\")"), most != usize::MAX);
        assert!(!calls[0].contains("incomplete"), "{calls:?}");
    }
}

#[test]
fn trace_context_in_a_comment() {
    let sql = "SELECT 1 /*traceparent='00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01',route='x'*/";
    let calls = Talk::tcp().client(query(sql)).calls();
    assert!(
        calls[0].contains("resource=\"SELECT ?\" endpoint=\"SELECT\" trace_id=\"4bf92f3577b34da6a3ce929d0e0e4736\""),
        "{calls:?}"
    );
}

#[test]
fn a_statement_of_several_lines_becomes_one_line() {
    let mut options = Options::default();
    options.redact = false;
    let talk = Talk::tcp().server(greeting()).client(query("SELECT a,\r\n\tb\nFROM t WHERE c = 'x'"));
    let calls = talk.calls_with(options, usize::MAX);
    assert!(calls.iter().any(|call| call.contains("resource=\"SELECT a,   b FROM t WHERE c = 'x'\"")), "{calls:?}");
}

#[test]
fn one_lost_answer_costs_its_own_call_and_no_other() {
    let query = |sql: &str| packet(0, [b"\x03", sql.as_bytes()].concat());
    let done = packet(1, b"\0\x01\0\x02\0\0\0(Rows matched: 1");
    let fault = packet(1, b"\xff\x7a\x04#42S02no such table");
    let row_count = done.len() as u64;
    let talk = Talk::tcp()
        .server(greeting())
        .client(login(0))
        .server(packet(2, OK))
        .client(query("UPDATE a SET b = 1"))
        .known_gap(Side::Server, row_count)
        .client(query("UPDATE c SET d = 2"))
        .server(&done)
        .client(query("SELECT e FROM f"))
        .server(&fault);
    let calls = talk.calls();
    let outcomes: Vec<_> = calls.iter().map(|call| call.split(" at ").next().unwrap()).collect();
    assert_eq!(
        outcomes,
        [
            "mysql request_response ok",
            "mysql request_only unknown",
            "mysql request_response ok",
            "mysql request_response client_error"
        ],
        "{calls:?}"
    );
    let lost = &calls[1];
    assert!(lost.contains("UPDATE a") && lost.ends_with("incomplete"), "{lost}");
}

/// A command of 17 MB: a packet as long as one can be, and another one.
#[test]
fn a_command_longer_than_a_packet_is_one_call_of_its_whole_length() {
    let payload = [b"\x03INSERT INTO t VALUES ('", &*vec![b'z'; 17_000_000], b"')"].concat();
    let (first, second) = payload.split_at(0xff_ffff);
    let bytes = [packet(0, first), packet(1, second)].concat();
    let kept = |from: usize, to: usize, missing: u64| (bytes[from..to].to_vec(), missing);
    let whole = vec![kept(0, bytes.len(), 0)];
    // Only the beginnings of the packets were captured.
    let parts =
        vec![kept(0, 300, 0xff_ff00 - 300), kept(0xff_ff00, 0xff_ff00 + 300, (bytes.len() - 0xff_ff00 - 300) as u64)];
    let select = |at: usize| {
        let rest = "request_type=\"COM_QUERY\" resource=\"SELECT ?\" endpoint=\"SELECT\" status_code=\"0\"";
        line(&format!("request_response ok at {at} for 1000"), (13, 11), rest)
    };
    for pieces in [whole, parts] {
        let count = pieces.len();
        let mut talk = Talk::tcp().client(query("SELECT 1")).server(packet(1, OK));
        for (bytes, missing) in pieces {
            talk = talk.piece(Side::Client, &bytes, missing);
        }
        let talk = talk.server(packet(1, OK)).client(query("SELECT 2")).server(packet(1, OK));
        for most in [65_483, usize::MAX] {
            let calls = talk.calls_with(Options::default(), most);
            let begin = format!("mysql request_response ok at 3000 for {count}000 ");
            assert!(calls[1].starts_with(&begin), "{}", calls[1]);
            assert!(calls[1].contains("bytes 17000034/11 "), "{}", calls[1]);
            assert_eq!(
                [&calls[0], &calls[2]],
                [&select(1000), &select(4000 + 1000 * count)],
                "in parts of {most} bytes"
            );
        }
    }
}
