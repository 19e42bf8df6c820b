use protocol_parsers::{Connection, Dissector, Opening, Options, Side, StreamChunk, Timestamp};

use crate::talk::Talk;

fn message(kind: u8, body: impl AsRef<[u8]>) -> Vec<u8> {
    let body = body.as_ref();
    [&[kind], &(body.len() as u32 + 4).to_be_bytes()[..], body].concat()
}

fn opening(code: [u8; 4], body: &[u8]) -> Vec<u8> {
    [&(body.len() as u32 + 8).to_be_bytes()[..], &code, body].concat()
}

fn startup(parameters: &[u8]) -> Vec<u8> {
    opening([0, 3, 0, 0], &[parameters, b"\0"].concat())
}

fn query(sql: &str) -> Vec<u8> {
    message(b'Q', format!("{sql}\0"))
}

fn parse(name: &str, sql: &str) -> Vec<u8> {
    message(b'P', [format!("{name}\0{sql}\0").as_bytes(), &[0, 0]].concat())
}

fn bind(portal: &str, statement: &str) -> Vec<u8> {
    message(b'B', [format!("{portal}\0{statement}\0").as_bytes(), &[0, 0, 0, 1, 0, 0, 0, 2, b'4', b'2', 0, 0]].concat())
}

fn execute(portal: &str) -> Vec<u8> {
    message(b'E', format!("{portal}\0\0\0\0\0"))
}

fn complete(tag: &str) -> Vec<u8> {
    message(b'C', format!("{tag}\0"))
}

fn error(code: &str, text: &str) -> Vec<u8> {
    message(b'E', format!("SERROR\0VERROR\0C{code}\0M{text}\0P1\0Fx.c\0\0"))
}

fn row() -> Vec<u8> {
    message(b'D', b"\0\x01\0\0\0\x0242")
}

fn columns() -> Vec<u8> {
    message(b'T', b"\0\x01a\0\0\0\0\0\0\0\0\0\0\x17\0\x04\xff\xff\xff\xff\0\0")
}

fn all(messages: &[&[u8]]) -> Vec<u8> {
    messages.concat()
}

const SYNC: &[u8] = b"S\0\0\0\x04";
const READY: &[u8] = b"Z\0\0\0\x05I";
const PARSED: &[u8] = b"1\0\0\0\x04";
const BOUND: &[u8] = b"2\0\0\0\x04";

/// A session that is ready: nothing was missed.
fn ready() -> Talk {
    Talk::tcp().server(READY)
}

fn line(kind: &str, bytes: (usize, usize), rest: &str) -> String {
    format!("postgresql {kind} bytes {}/{} {rest}", bytes.0, bytes.1)
}

fn ok(at: u64, sent: &[u8], received: &[u8], rest: &str) -> String {
    line(
        &format!("request_response ok at {at} for 1000"),
        (sent.len(), received.len()),
        &format!("{rest} status_code=\"00000\""),
    )
}

#[test]
fn a_session_from_the_request_for_tls_to_its_end() {
    let start = startup(b"user\0ann\0database\0shop\0application_name\0psql\0");
    let asks = message(b'R', b"\0\0\0\x0a SCRAM-SHA-256\0\0");
    let welcome =
        [message(b'R', b"\0\0\0\0"), message(b'S', b"server_version\x0015.4\0"), message(b'K', b"\0\0\0\x07abcd")]
            .concat();
    let (select, result) = (query("SELECT a FROM t WHERE b = 'x'"), all(&[&columns(), &row(), &complete("SELECT 1")]));
    Talk::tcp()
        .client(opening([0x04, 0xd2, 0x16, 0x2f], b""))
        .server("N")
        .client(&start)
        .server(&asks)
        .client(message(b'p', b"SCRAM-SHA-256\0\0\0\0\x01n"))
        .server(all(&[&welcome, READY]))
        .client(&select)
        .server(all(&[&result, READY]))
        .client(message(b'X', b""))
        .expect(&[
            "postgresql request_response ok at 1000 for 1000 bytes 8/1 request_type=\"SSL_REQUEST\" endpoint=\"SSL_REQUEST\" status_code=\"N\"",
            &format!(
                "{} db.user=Text(\"ann\")",
                line(
                    "request_response ok at 3000 for 3000",
                    (start.len(), asks.len() + welcome.len()),
                    "request_type=\"STARTUP\" domain=\"shop\" endpoint=\"STARTUP\" status_code=\"00000\""
                )
            ),
            &ok(
                7000,
                &select,
                &result,
                "request_type=\"QUERY\" domain=\"shop\" resource=\"SELECT a FROM t WHERE b = ?\" endpoint=\"SELECT t\"",
            ),
        ]);
}

#[test]
fn after_an_accepted_request_for_encryption_nothing_is_read() {
    for (code, letter, name) in [(0x2f, "S", "SSL_REQUEST"), (0x30, "G", "GSSENC_REQUEST")] {
        Talk::tcp()
            .client(opening([0x04, 0xd2, 0x16, code], b""))
            .server(letter)
            .client("\x16\x03\x01\0\x05hello")
            .server("\x16\x03\x03\0\x05hello")
            .expect(&[&format!(
                "postgresql request_response ok at 1000 for 1000 bytes 8/1 request_type=\"{name}\" endpoint=\"{name}\" status_code=\"{letter}\""
            )]);
    }
    // The answer was lost, and the client begins with TLS.
    Talk::tcp()
        .client(opening([0x04, 0xd2, 0x16, 0x2f], b""))
        .known_gap(Side::Server, 1)
        .client("\x16\x03\x01\0\x05hello")
        .expect(&[
            "postgresql request_only unknown at 1000 bytes 8/0 request_type=\"SSL_REQUEST\" endpoint=\"SSL_REQUEST\" incomplete",
        ]);
}

#[test]
fn a_refused_login_and_a_cancelled_query() {
    let (start, refused) = (startup(b"user\0ann\0"), error("28P01", "password authentication failed"));
    Talk::tcp().client(&start).server(message(b'R', b"\0\0\0\x05abcd")).client(message(b'p', b"md5x\0")).server(&refused).expect(&[
        &format!(
            "{} db.user=Text(\"ann\")",
            line(
                "request_response client_error at 1000 for 3000",
                (start.len(), 13 + refused.len()),
                "request_type=\"STARTUP\" domain=\"ann\" endpoint=\"STARTUP\" status_code=\"28P01\" exception=\"password authentication failed\""
            )
        ),
    ]);
    Talk::tcp().client(opening([0x04, 0xd2, 0x16, 0x2e], b"\0\0\0\x07abcd")).expect(&[
        "postgresql one_way ok at 1000 bytes 16/0 request_type=\"CANCEL_REQUEST\" endpoint=\"CANCEL_REQUEST\"",
    ]);
}

#[test]
fn several_statements_in_one_query() {
    let several = query("INSERT INTO t VALUES (1); SELECT a FROM t;");
    let results = all(&[&complete("INSERT 0 1"), &columns(), &row(), &complete("SELECT 1")]);
    let broken = query("BEGIN; SELECT 1/0; COMMIT");
    let failed = all(&[&complete("BEGIN"), &error("22012", "division by zero")]);
    let empty = query(";");
    Talk::tcp()
        .client(&several)
        .server(complete("INSERT 0 1"))
        .server(all(&[&columns(), &row(), &complete("SELECT 1"), READY]))
        .client(&broken)
        .server(complete("BEGIN"))
        .server(all(&[&error("22012", "division by zero"), READY]))
        .client(&empty)
        .server(all(&[&message(b'I', b""), READY]))
        .expect(&[
            &line(
                "request_response ok at 1000 for 2000",
                (several.len(), results.len()),
                "request_type=\"QUERY\" resource=\"INSERT INTO t VALUES (?); SELECT a FROM t;\" endpoint=\"INSERT t SELECT t\" status_code=\"00000\"",
            ),
            &line(
                "request_response client_error at 4000 for 2000",
                (broken.len(), failed.len()),
                "request_type=\"QUERY\" resource=\"BEGIN; SELECT ?/?; COMMIT\" endpoint=\"BEGIN SELECT COMMIT\" status_code=\"22012\" exception=\"division by zero\"",
            ),
            &ok(7000, &empty, b"I\0\0\0\x04", "request_type=\"QUERY\" resource=\";\" endpoint=\"QUERY\""),
        ]);
}

#[test]
fn prepared_statements_keep_their_text() {
    let (prepare, run) = (parse("s1", "SELECT a FROM t WHERE b = $1 AND c = 'x'"), execute(""));
    let result = all(&[&row(), &complete("SELECT 1")]);
    let text = "resource=\"SELECT a FROM t WHERE b = $1 AND c = ?\" endpoint=\"SELECT t\"";
    let fetch = execute("p");
    ready()
        .client(all(&[&prepare, &message(b'D', b"Ss1\0"), SYNC]))
        .server(all(&[PARSED, &message(b't', b"\0\x01\0\0\0\x17"), &columns(), READY]))
        .client(all(&[&bind("", "s1"), &run, SYNC]))
        .server(all(&[BOUND, &result, READY]))
        .client(all(&[&bind("p", "s1"), &fetch, SYNC]))
        .server(all(&[BOUND, &row(), &message(b's', b""), READY]))
        .client(all(&[&bind("", "s9"), &run, SYNC]))
        .server(all(&[BOUND, &result, READY]))
        .client(all(&[&execute("q"), SYNC]))
        .server(all(&[&result, READY]))
        .client(all(&[&message(b'C', b"Ss1\0"), &bind("", "s1"), &run, SYNC]))
        .server(all(&[b"3\0\0\0\x04", &error("26000", "no s1"), READY]))
        .expect(&[
            &ok(2000, &prepare, PARSED, &format!("request_type=\"PARSE\" {text}")),
            &ok(4000, &run, &result, &format!("request_type=\"EXECUTE\" {text}")),
            &ok(6000, &fetch, &all(&[&row(), b"s\0\0\0\x04"]), &format!("request_type=\"EXECUTE\" {text}")),
            &format!(
                "{} db.postgresql.statement=Text(\"s9\") incomplete",
                ok(8000, &run, &result, "request_type=\"EXECUTE\" endpoint=\"EXECUTE\"")
            ),
            &format!(
                "{} db.postgresql.portal=Text(\"q\") incomplete",
                ok(10000, &execute("q"), &result, "request_type=\"EXECUTE\" endpoint=\"EXECUTE\"")
            ),
            &format!(
                "{} db.postgresql.statement=Text(\"s1\") incomplete",
                line(
                    "request_response client_error at 12000 for 1000",
                    (run.len(), error("26000", "no s1").len()),
                    "request_type=\"EXECUTE\" endpoint=\"EXECUTE\" status_code=\"26000\" exception=\"no s1\""
                )
            ),
        ]);
}

#[test]
fn a_pipeline_with_an_error_in_its_middle() {
    let turn = |table: &str| all(&[&parse("", &format!("SELECT a FROM {table}")), &bind("", ""), &execute("")]);
    let answer = all(&[PARSED, BOUND, &row(), &complete("SELECT 1")]);
    let failed = error("42P01", "no table");
    let parsed = |at: u64, table: &str| {
        let sent = parse("", &format!("SELECT a FROM {table}"));
        ok(
            at,
            &sent,
            PARSED,
            &format!("request_type=\"PARSE\" resource=\"SELECT a FROM {table}\" endpoint=\"SELECT {table}\""),
        )
    };
    let result = all(&[&row(), &complete("SELECT 1")]);
    let executed = |at: u64, table: &str| {
        ok(
            at,
            &execute(""),
            &result,
            &format!("request_type=\"EXECUTE\" resource=\"SELECT a FROM {table}\" endpoint=\"SELECT {table}\""),
        )
    };
    let passed_over = |kind: &str, bytes: usize, table: &str| {
        line(
            "request_only unknown at 2000",
            (bytes, 0),
            &format!(
                "request_type=\"{kind}\" resource=\"SELECT a FROM {table}\" endpoint=\"SELECT {table}\" error.type=Text(\"pipeline_aborted\")"
            ),
        )
    };
    ready()
        .client(all(&[&turn("a"), &turn("b"), &turn("c"), &query("SELECT 1"), SYNC, &turn("d"), SYNC]))
        .server(all(&[&answer, &failed, READY, &answer, READY]))
        .client(query("SELECT 2"))
        .server(all(&[&complete("SELECT 1"), READY]))
        .expect(&[
            &parsed(2000, "a"),
            &executed(2000, "a"),
            &line(
                "request_response client_error at 2000 for 1000",
                (parse("", "SELECT a FROM b").len(), failed.len()),
                "request_type=\"PARSE\" resource=\"SELECT a FROM b\" endpoint=\"SELECT b\" status_code=\"42P01\" exception=\"no table\"",
            ),
            &passed_over("EXECUTE", 10, "b"),
            &passed_over("PARSE", parse("", "SELECT a FROM c").len(), "c"),
            &passed_over("EXECUTE", 10, "c"),
            &line(
                "request_only unknown at 2000",
                (14, 0),
                "request_type=\"QUERY\" resource=\"SELECT ?\" endpoint=\"SELECT\" error.type=Text(\"pipeline_aborted\")",
            ),
            &parsed(2000, "d"),
            &executed(2000, "d"),
            &ok(4000, &query("SELECT 2"), &complete("SELECT 1"), "request_type=\"QUERY\" resource=\"SELECT ?\" endpoint=\"SELECT\""),
        ]);
}

#[test]
fn an_error_of_a_describe_belongs_to_no_call() {
    let (prepare, failed) = (parse("s", "SELECT 1"), error("42P18", "no type"));
    Talk::tcp()
        .client(query("SELECT 0"))
        .server(all(&[&complete("SELECT 1"), READY]))
        .client(all(&[&prepare, SYNC, &message(b'D', b"Ss\0"), SYNC, &query("SELECT 2")]))
        .server(all(&[PARSED, READY, &failed, READY, &complete("SELECT 1"), READY]))
        .server(error("57P01", "terminating connection"))
        .expect(&[
            &ok(
                1000,
                &query("SELECT 0"),
                &complete("SELECT 1"),
                "request_type=\"QUERY\" resource=\"SELECT ?\" endpoint=\"SELECT\"",
            ),
            &ok(3000, &prepare, PARSED, "request_type=\"PARSE\" resource=\"SELECT ?\" endpoint=\"SELECT\""),
            &ok(
                3000,
                &query("SELECT 2"),
                &complete("SELECT 1"),
                "request_type=\"QUERY\" resource=\"SELECT ?\" endpoint=\"SELECT\"",
            ),
        ]);
}

#[test]
fn copies_in_and_out() {
    let (into, out) = (query("COPY t FROM STDIN"), query("COPY t TO STDOUT"));
    let data = message(b'd', b"1\t2\n");
    let reading = all(&[&message(b'G', b"\0\0\x01\0\0"), &complete("COPY 2")]);
    let writing = all(&[&message(b'H', b"\0\0\x01\0\0"), &data, &data, &message(b'c', b""), &complete("COPY 2")]);
    let turn = all(&[&parse("", "COPY t FROM STDIN"), &bind("", ""), &execute("")]);
    ready()
        .client(&into)
        .server(message(b'G', b"\0\0\x01\0\0"))
        .client(all(&[&data, &data, &message(b'c', b"")]))
        .server(all(&[&complete("COPY 2"), READY]))
        .client(&out)
        .server(all(&[&writing, READY]))
        // The Sync before the data counts for nothing.
        .client(all(&[&turn, SYNC]))
        .server(all(&[PARSED, BOUND, &message(b'G', b"\0\0\x01\0\0")]))
        .client(all(&[&data, &message(b'f', b"no\0"), SYNC]))
        .server(all(&[&error("57014", "COPY failed: no"), READY]))
        .client(all(&[&parse("", "SELECT x"), SYNC]))
        .server(all(&[&error("42703", "no x"), READY]))
        .expect(&[
            &line(
                "request_response ok at 2000 for 3000",
                (into.len(), reading.len()),
                "request_type=\"COPY\" resource=\"COPY t FROM STDIN\" endpoint=\"COPY t\" status_code=\"00000\"",
            ),
            &ok(6000, &out, &writing, "request_type=\"COPY\" resource=\"COPY t TO STDOUT\" endpoint=\"COPY t\""),
            &ok(
                8000,
                &parse("", "COPY t FROM STDIN"),
                PARSED,
                "request_type=\"PARSE\" resource=\"COPY t FROM STDIN\" endpoint=\"COPY t\"",
            ),
            &line(
                "request_response server_error at 8000 for 3000",
                (10, 10 + error("57014", "COPY failed: no").len()),
                "request_type=\"COPY\" resource=\"COPY t FROM STDIN\" endpoint=\"COPY t\" status_code=\"57014\" exception=\"COPY failed: no\"",
            ),
            &line(
                "request_response client_error at 12000 for 1000",
                (parse("", "SELECT x").len(), error("42703", "no x").len()),
                "request_type=\"PARSE\" resource=\"SELECT x\" endpoint=\"SELECT\" status_code=\"42703\" exception=\"no x\"",
            ),
        ]);
}

#[test]
fn a_command_of_replication_has_several_results() {
    let result = all(&[&columns(), &row(), &complete("SELECT")]);
    let results =
        all(&[&result, &result, &message(b'H', b"\0\0\0"), &message(b'd', b"xyz"), &message(b'c', b""), &result]);
    let calls = Talk::tcp()
        .client(startup(b"user\0ann\0replication\0true\0"))
        .server(all(&[&message(b'R', b"\0\0\0\0"), READY]))
        .client(query("BASE_BACKUP LABEL 'x'"))
        .server(&result)
        .server(all(&[&results[result.len()..], &complete("SELECT"), READY]))
        .calls();
    assert_eq!(calls.len(), 2, "{calls:?}");
    let bytes = results.len() + complete("SELECT").len();
    assert!(calls[1].contains(&format!("request_response ok at 3000 for 2000 bytes 27/{bytes}")), "{calls:?}");
}

#[test]
fn notices_and_notifications_come_at_any_time() {
    let notice = message(b'N', b"SNOTICE\0VNOTICE\0C00000\0Mhello\0\0");
    let notification = message(b'A', b"\0\0\0\x07channel\0payload\0");
    let result = all(&[&notice, &row(), &notification, &complete("SELECT 1")]);
    let call = all(&[&message(b'F', b"\0\0\x01\x90\0\0\0\0\0\0")]);
    Talk::tcp()
        .client(query("SELECT 1"))
        .server(all(&[&notification, &columns(), &result, READY, &notification]))
        .client(&call)
        .server(all(&[&message(b'V', b"\xff\xff\xff\xff"), READY]))
        .expect(&[
            &ok(
                1000,
                &query("SELECT 1"),
                &all(&[&columns(), &result]),
                "request_type=\"QUERY\" resource=\"SELECT ?\" endpoint=\"SELECT\"",
            ),
            &format!(
                "{} db.postgresql.function_oid=Number(400)",
                ok(
                    3000,
                    &call,
                    b"V\0\0\0\x08\xff\xff\xff\xff",
                    "request_type=\"FUNCTION_CALL\" endpoint=\"FUNCTION_CALL\""
                )
            ),
        ]);
}

#[test]
fn a_gap_within_a_row_costs_nothing_and_one_over_rows_is_said() {
    let long = message(b'D', [&b"\0\x01\0\0\x03\xe8"[..], &[b'x'; 1000]].concat());
    Talk::tcp()
        .client(query("SELECT 1"))
        .server(all(&[&columns(), &long[..100]]))
        .gap(Side::Server, long.len() as u64 - 100)
        .server(all(&[&complete("SELECT 1"), READY]))
        .client(query("SELECT 2"))
        .server(all(&[&columns(), &row()]))
        .known_gap(Side::Server, 50)
        .server(all(&[&complete("SELECT 3"), READY]))
        .client(query("SELECT 3"))
        .server(all(&[&complete("SELECT 1"), READY]))
        .client(query("SELECT 4"))
        .known_gap(Side::Server, 50)
        .client(query("SELECT 5"))
        .server(all(&[&complete("SELECT 1"), READY]))
        .expect(&[
            &line(
                "request_response ok at 1000 for 2000",
                (14, columns().len() + long.len() + complete("SELECT 1").len()),
                "request_type=\"QUERY\" resource=\"SELECT ?\" endpoint=\"SELECT\" status_code=\"00000\"",
            ),
            &line(
                "request_response ok at 4000 for 3000",
                (14, columns().len() + row().len() + complete("SELECT 3").len()),
                "request_type=\"QUERY\" resource=\"SELECT ?\" endpoint=\"SELECT\" status_code=\"00000\" incomplete",
            ),
            &ok(
                8000,
                &query("SELECT 3"),
                &complete("SELECT 1"),
                "request_type=\"QUERY\" resource=\"SELECT ?\" endpoint=\"SELECT\"",
            ),
            &line(
                "request_only unknown at 10000",
                (14, 0),
                "request_type=\"QUERY\" resource=\"SELECT ?\" endpoint=\"SELECT\" incomplete",
            ),
            &ok(
                12000,
                &query("SELECT 5"),
                &complete("SELECT 1"),
                "request_type=\"QUERY\" resource=\"SELECT ?\" endpoint=\"SELECT\"",
            ),
        ]);
}

#[test]
fn an_answer_whose_end_was_lost_ends_when_the_client_goes_on() {
    Talk::tcp()
        .client(query("SELECT 1"))
        .server(all(&[&columns(), &row()]))
        .known_gap(Side::Server, 50)
        .client(query("SELECT 2"))
        .server(all(&[&columns(), &row(), &complete("SELECT 1"), READY]))
        .expect(&[
            &line(
                "request_response unknown at 1000 for 1000",
                (14, columns().len() + row().len()),
                "request_type=\"QUERY\" resource=\"SELECT ?\" endpoint=\"SELECT\" incomplete",
            ),
            &ok(
                4000,
                &query("SELECT 2"),
                &all(&[&columns(), &row(), &complete("SELECT 1")]),
                "request_type=\"QUERY\" resource=\"SELECT ?\" endpoint=\"SELECT\"",
            ),
        ]);
}

#[test]
fn an_answer_lost_as_a_whole_leaves_its_turn_behind() {
    let turn = all(&[&parse("", "SELECT 1"), &bind("", ""), &execute(""), SYNC]);
    let lost = "resource=\"SELECT ?\" endpoint=\"SELECT\" incomplete";
    ready()
        .client(&turn)
        .known_gap(Side::Server, 30)
        .server(READY)
        .client(query("SELECT 2"))
        .server(all(&[&complete("SELECT 1"), READY]))
        .expect(&[
            &line(
                "request_only unknown at 2000",
                (parse("", "SELECT 1").len(), 0),
                &format!("request_type=\"PARSE\" {lost}"),
            ),
            &line("request_only unknown at 2000", (10, 0), &format!("request_type=\"EXECUTE\" {lost}")),
            &ok(
                5000,
                &query("SELECT 2"),
                &complete("SELECT 1"),
                "request_type=\"QUERY\" resource=\"SELECT ?\" endpoint=\"SELECT\"",
            ),
        ]);
}

#[test]
fn joined_late_at_an_answer() {
    let answer = all(&[&row(), &complete("SELECT 1"), READY]);
    let turn = all(&[&bind("", "s"), &execute(""), SYNC]);
    Talk::new(Opening::TCP_JOINED).client(&answer).server(&turn).client(all(&[BOUND, &answer])).expect(&[
        &format!("{} turned", line("response_only ok at 1000", (0, answer.len() - 6), "status_code=\"00000\"")),
        &format!(
            "{} db.postgresql.statement=Text(\"s\") turned incomplete",
            ok(2000, &execute(""), &answer[..answer.len() - 6], "request_type=\"EXECUTE\" endpoint=\"EXECUTE\"")
        ),
    ]);
}

#[test]
fn joined_late_between_a_pipeline_and_its_answers() {
    // Three turns were sent before; what follows finds its own answers.
    let old = all(&[PARSED, BOUND, &row(), &complete("SELECT 1"), READY]);
    let calls = Talk::new(Opening::TCP_JOINED)
        .client(all(&[&parse("", "SELECT a FROM t"), &bind("", ""), &execute(""), SYNC]))
        .server(all(&[READY, READY, PARSED, BOUND, &row(), &row(), &complete("SELECT 2"), READY]))
        .client(all(&[&parse("", "SELECT b FROM u"), &bind("", ""), &execute(""), SYNC]))
        .server(&old)
        .calls();
    assert_eq!(calls.len(), 4, "{calls:#?}");
    for (call, text) in calls.iter().zip(["SELECT a FROM t", "SELECT a FROM t", "SELECT b FROM u", "SELECT b FROM u"]) {
        assert!(call.contains("request_response ok") && call.contains(text), "{calls:#?}");
    }
    let complete: Vec<_> = calls.iter().map(|call| !call.ends_with("incomplete")).collect();
    assert_eq!(complete, [false, false, true, true]);
}

#[test]
fn a_statement_longer_than_is_kept() {
    let sql = format!("SELECT * FROM t WHERE a = '{}' AND b = 1", "x".repeat(200_000));
    let talk = Talk::tcp().client(query(&sql)).server(all(&[&complete("SELECT 0"), READY]));
    for most in [usize::MAX, 1460] {
        let calls = talk.calls_with(Options::default(), most);
        assert_eq!(calls.len(), 1, "{calls:?}");
        assert!(
            calls[0]
                .starts_with(&format!("postgresql request_response ok at 1000 for 1000 bytes {}/14", sql.len() + 6)),
            "{calls:?}"
        );
        assert!(calls[0].contains("resource=\"SELECT * FROM t WHERE a = ?"), "{calls:?}");
        assert!(!calls[0].contains("incomplete"), "{calls:?}");
    }
}

#[test]
fn trace_context_of_a_comment_reaches_the_execution() {
    let sql = "SELECT 1 /*traceparent='00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01',route='x'*/";
    let ids = "trace_id=\"4bf92f3577b34da6a3ce929d0e0e4736\" span_id=\"00f067aa0ba902b7\"";
    let calls = ready()
        .client(all(&[&parse("s", sql), &bind("", "s"), &execute(""), SYNC]))
        .client(all(&[&bind("", "s"), &execute(""), SYNC]))
        .client(query(sql))
        .calls();
    // The comment is as old as the statement: a later execution belongs to another trace.
    let traced: Vec<_> = calls.iter().map(|call| call.contains(ids)).collect();
    assert_eq!(traced, [true, true, false, true], "{calls:?}");
}

#[test]
fn a_flood_of_statements_is_bounded_and_counted() {
    let mut dissector = Dissector::new(Options::default());
    let mut connection = Connection::new(Opening::TCP);
    let (mut sent, mut received) = (0, 0);
    for number in 0..2_000 {
        let request = all(&[&parse(&format!("s{number}"), &format!("SELECT {}", "a, ".repeat(300))), SYNC]);
        let answer = all(&[PARSED, READY]);
        for (side, bytes, offset) in [(Side::Client, request, &mut sent), (Side::Server, answer, &mut received)] {
            let chunk = StreamChunk { side, time: Timestamp::ZERO, offset: *offset, bytes: &bytes, missing: 0 };
            dissector.push(&mut connection, chunk);
            *offset += bytes.len() as u64;
        }
        while dissector.poll().is_some() {}
        assert!(connection.memory() < 128 << 10, "{}", connection.memory());
    }
    assert_eq!(dissector.stats().calls, 2_000);
    assert!(dissector.stats().texts_forgotten > 1_900);
}

#[test]
fn an_answer_behind_its_deadline_goes_to_no_other_query() {
    let mut dissector = Dissector::new(Options::default());
    let mut connection = Connection::new(Opening::TCP);
    let mut calls = Vec::new();
    let (one, answer) = (query("SELECT 1"), all(&[&complete("SELECT 1"), READY]));
    let chunks = [
        (Side::Client, 0, &one, 0),
        (Side::Server, 200, &answer, 0),
        (Side::Client, 201, &one, 14),
        (Side::Server, 202, &answer, 20),
    ];
    for (side, seconds, bytes, offset) in chunks {
        let time = Timestamp::from_nanos(seconds * 1_000_000_000);
        dissector.handle_timeout(&mut connection, time);
        dissector.push(&mut connection, StreamChunk { side, time, offset, bytes, missing: 0 });
        while let Some(call) = dissector.poll() {
            calls.push((call.status().name(), call.duration().map(|duration| duration.as_secs())));
        }
    }
    assert_eq!(calls, [("timeout", None), ("ok", Some(1))]);
}

#[test]
fn other_protocols_are_none_of_ours() {
    for bytes in [&b"SELECT 1;\n"[..], b"Q\0\0\0\x09SELECT 1\0", b"\0\0\0\x10ABCD\0\0\0\0ABCD", b"D\0\0\0\x20\0\x05abc"]
    {
        Talk::tcp().client(bytes).expect(&[]);
    }
}
