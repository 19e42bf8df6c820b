use protocol_parsers::{Opening, Options, Side};

use crate::talk::Talk;

fn command(words: &[&str]) -> String {
    words.iter().fold(format!("*{}\r\n", words.len()), |text, word| format!("{text}${}\r\n{word}\r\n", word.len()))
}

#[test]
fn pipelined_commands_with_every_kind_of_reply() {
    let commands = [
        command(&["SET", "k", "v"]),
        command(&["GET", "k"]),
        command(&["mget", "a", "b"]),
        command(&["INCR", "s"]),
        command(&["GET", "none"]),
        command(&["XINFO", "STREAM", "s"]),
    ];
    let replies = [
        "+OK\r\n",
        "$1\r\nv\r\n",
        "*2\r\n$1\r\n1\r\n*1\r\n:2\r\n",
        "-WRONGTYPE no\r\n",
        "$-1\r\n",
        "%1\r\n+a\r\n|1\r\n+x\r\n:1\r\n_\r\n",
    ];
    let line = |number: usize, name: &str, resource: &str, rest: &str| {
        let status = if rest.is_empty() { "ok" } else { "client_error" };
        format!(
            "redis request_response {status} at 1000 for 1000 bytes {}/{} request_type=\"{name}\" resource=\"{resource}\" endpoint=\"{name}\"{rest}",
            commands[number].len(),
            replies[number].len()
        )
    };
    Talk::tcp().client(commands.concat()).server(replies.concat()).expect(&[
        &line(0, "SET", "SET k ?", ""),
        &line(1, "GET", "GET k", ""),
        &line(2, "MGET", "mget a ?", ""),
        &line(3, "INCR", "INCR s", " exception=\"WRONGTYPE no\""),
        &line(4, "GET", "GET none", ""),
        &line(5, "XINFO", "XINFO STREAM ?", ""),
    ]);
}

#[test]
fn values_are_shown_when_wanted() {
    let mut options = Options::default();
    options.redact = false;
    let calls = Talk::tcp().client(command(&["SET", "k", "v\u{e4}"])).calls_with(options, usize::MAX);
    assert!(calls[0].contains("resource=\"SET k v\u{e4}\""), "{calls:?}");
}

#[test]
fn a_subscription_and_its_messages() {
    let message = "*3\r\n$7\r\nmessage\r\n$1\r\na\r\n$5\r\nhello\r\n";
    Talk::tcp()
        .client(command(&["SUBSCRIBE", "a", "b"]))
        .server("*3\r\n$9\r\nsubscribe\r\n$1\r\na\r\n:1\r\n")
        .server("*3\r\n$9\r\nsubscribe\r\n$1\r\nb\r\n:2\r\n")
        .server(message)
        .client(command(&["UNSUBSCRIBE"]))
        .server("*3\r\n$11\r\nunsubscribe\r\n$1\r\na\r\n:1\r\n*3\r\n$11\r\nunsubscribe\r\n$1\r\nb\r\n:0\r\n")
        .client(command(&["PING"]))
        .server("+PONG\r\n")
        .expect(&[
            "redis request_response ok at 1000 for 2000 bytes 33/60 request_type=\"SUBSCRIBE\" resource=\"SUBSCRIBE a ?\" endpoint=\"SUBSCRIBE\"",
            "redis one_way ok at 4000 bytes 35/0 request_type=\"MESSAGE\" resource=\"a\" endpoint=\"MESSAGE\" initiator=Text(\"server\")",
            "redis request_response ok at 5000 for 1000 bytes 22/33 request_type=\"UNSUBSCRIBE\" resource=\"UNSUBSCRIBE\" endpoint=\"UNSUBSCRIBE\"",
            "redis request_response ok at 7000 for 1000 bytes 14/7 request_type=\"PING\" resource=\"PING\" endpoint=\"PING\"",
        ]);
}

#[test]
fn pushes_of_resp3_leave_the_order_alone() {
    Talk::tcp()
        .client(command(&["HELLO", "3"]))
        .server("%1\r\n$6\r\nserver\r\n$5\r\nredis\r\n")
        .client(command(&["GET", "a"]))
        .server(">2\r\n$10\r\ninvalidate\r\n*1\r\n$1\r\na\r\n")
        .server("$1\r\nx\r\n")
        .expect(&[
            "redis request_response ok at 1000 for 1000 bytes 22/27 request_type=\"HELLO\" resource=\"HELLO ?\" endpoint=\"HELLO\"",
            "redis one_way ok at 4000 bytes 32/0 request_type=\"INVALIDATE\" endpoint=\"INVALIDATE\" initiator=Text(\"server\")",
            "redis request_response ok at 3000 for 2000 bytes 20/7 request_type=\"GET\" resource=\"GET a\" endpoint=\"GET\"",
        ]);
}

#[test]
fn commands_that_will_not_be_answered() {
    let line = |at: u64, kind: &str, bytes: &str, text: &str| {
        let name = text.split(' ').next().unwrap();
        format!("redis {kind} bytes {bytes} request_type=\"{name}\" resource=\"{text}\" endpoint=\"{name}\"")
            .replace(" at ", &format!(" at {at}"))
    };
    Talk::tcp()
        .client("CLIENT REPLY SKIP\r\nPING\r\nPING\r\n")
        .server("+PONG\r\n")
        .client("CLIENT REPLY OFF\r\nPING\r\n")
        .client("CLIENT REPLY ON\r\n")
        .server("+OK\r\n")
        .expect(&[
            &line(1000, "one_way ok at ", "19/0", "CLIENT REPLY ?"),
            &line(1000, "one_way ok at ", "6/0", "PING"),
            &line(1000, "request_response ok at  for 1000", "6/7", "PING"),
            &line(3000, "one_way ok at ", "18/0", "CLIENT REPLY ?"),
            &line(3000, "one_way ok at ", "6/0", "PING"),
            &line(4000, "request_response ok at  for 1000", "17/5", "CLIENT REPLY ?"),
        ]);
}

#[test]
fn a_loss_while_no_replies_are_wanted() {
    let talk = Talk::tcp()
        .client("CLIENT REPLY OFF\r\nPING\r\n")
        .known_gap(Side::Client, 17)
        .client(command(&["GET", "a"]))
        .server("+OK\r\n$1\r\nx\r\n")
        .client(command(&["GET", "b"]))
        .server("$1\r\ny\r\n");
    talk.expect(&[
        "redis one_way ok at 1000 bytes 18/0 request_type=\"CLIENT\" resource=\"CLIENT REPLY ?\" endpoint=\"CLIENT\"",
        "redis one_way ok at 1000 bytes 6/0 request_type=\"PING\" resource=\"PING\" endpoint=\"PING\"",
        // Nobody can tell that CLIENT REPLY ON was what is missing before its reply is seen.
        "redis one_way ok at 3000 bytes 20/0 request_type=\"GET\" resource=\"GET a\" endpoint=\"GET\" incomplete",
        "redis response_only ok at 4000 bytes 0/5",
        "redis response_only ok at 4000 bytes 0/7",
        "redis request_response ok at 5000 for 1000 bytes 20/7 request_type=\"GET\" resource=\"GET b\" endpoint=\"GET\"",
    ]);
}

#[test]
fn what_monitor_copies_is_no_reply_whether_it_was_asked_for_or_not() {
    let copy = "+1339518083.107412 [0 127.0.0.1:60866] \"get\" \"a\"\r\n";
    let get = |at: u32| {
        format!(
            "redis request_response ok at {at} for 1000 bytes 20/7 request_type=\"GET\" resource=\"GET a\" endpoint=\"GET\""
        )
    };
    let asked = Talk::tcp().client("MONITOR\r\n").server(format!("+OK\r\n{copy}")).server(copy);
    asked.client(command(&["RESET"])).server("+RESET\r\n").client(command(&["GET", "a"])).server("$1\r\nx\r\n").expect(&[
        "redis request_response ok at 1000 for 1000 bytes 9/5 request_type=\"MONITOR\" resource=\"MONITOR\" endpoint=\"MONITOR\"",
        "redis request_response ok at 4000 for 1000 bytes 15/8 request_type=\"RESET\" resource=\"RESET\" endpoint=\"RESET\"",
        &get(6000),
    ]);
    let joined = Talk::new(Opening::TCP_JOINED).server(copy).client(command(&["GET", "a"])).server("$1\r\nx\r\n");
    joined.server(copy).expect(&[&get(2000)]);
}

#[test]
fn joined_late_within_a_subscription() {
    let confirmation = "*3\r\n$9\r\nsubscribe\r\n$1\r\na\r\n:1\r\n";
    let message = "*3\r\n$7\r\nmessage\r\n$1\r\na\r\n$5\r\nhello\r\n";
    Talk::new(Opening::TCP_JOINED).client(confirmation).client(message).expect(&[
        "redis response_only ok at 1000 bytes 0/30 turned",
        "redis one_way ok at 2000 bytes 35/0 request_type=\"MESSAGE\" resource=\"a\" endpoint=\"MESSAGE\" initiator=Text(\"server\") turned",
    ]);
    let small = "*3\r\n$9\r\nsubscribe\r\n$1\r\na\r\n$1\r\nb\r\n";
    let calls = Talk::new(Opening::TCP_JOINED).client(small).calls();
    assert!(calls[0].starts_with("redis request_only"), "{calls:?}");
}

#[test]
fn inline_commands_with_quotes_and_empty_lines_between() {
    Talk::tcp().client("set k \"a b\"\r\n\r\n\n  get k\n").server("+OK\r\n$3\r\na b\r\n").expect(&[
        "redis request_response ok at 1000 for 1000 bytes 13/5 request_type=\"SET\" resource=\"set k ? ?\" endpoint=\"SET\"",
        "redis request_response ok at 1000 for 1000 bytes 8/9 request_type=\"GET\" resource=\"get k\" endpoint=\"GET\"",
    ]);
}

#[test]
fn a_long_value_is_passed_over() {
    let value = "v".repeat(300_000);
    let set = command(&["SET", "k", &value]);
    let reply = format!("*2\r\n$300000\r\n{value}\r\n:1\r\n");
    let talk = Talk::tcp().client(&set).server("+OK\r\n").client(command(&["MGET", "k", "n"])).server(&reply);
    let expected = [
        format!(
            "redis request_response ok at 1000 for 1000 bytes {}/5 request_type=\"SET\" resource=\"SET k ?\" endpoint=\"SET\"",
            set.len()
        ),
        format!(
            "redis request_response ok at 3000 for 1000 bytes 28/{} request_type=\"MGET\" resource=\"MGET k ?\" endpoint=\"MGET\"",
            reply.len()
        ),
    ];
    for most in [usize::MAX, 1460, 7] {
        assert_eq!(talk.calls_with(Options::default(), most), expected);
    }
}

#[test]
fn a_gap_within_a_value_costs_nothing_and_one_before_it_a_call() {
    Talk::tcp()
        .client(command(&["GET", "a"]))
        .server("$1000\r\nabc")
        .gap(Side::Server, 990)
        .server("1234567\r\n")
        .client(command(&["GET", "b"]))
        .known_gap(Side::Server, 500)
        .client(command(&["GET", "c"]))
        .server("$1\r\nx\r\n")
        .expect(&[
            "redis request_response ok at 1000 for 2000 bytes 20/1009 request_type=\"GET\" resource=\"GET a\" endpoint=\"GET\"",
            "redis request_only unknown at 4000 bytes 20/0 request_type=\"GET\" resource=\"GET b\" endpoint=\"GET\" incomplete",
            "redis request_response ok at 6000 for 1000 bytes 20/7 request_type=\"GET\" resource=\"GET c\" endpoint=\"GET\"",
        ]);
}

#[test]
fn joined_late_at_a_reply() {
    Talk::new(Opening::TCP_JOINED).client("-NOAUTH Authentication required.\r\n").server(command(&["GET", "a"])).client("$-1\r\n").expect(&[
        "redis response_only client_error at 1000 bytes 0/34 exception=\"NOAUTH Authentication required.\" turned",
        "redis request_response ok at 2000 for 1000 bytes 20/5 request_type=\"GET\" resource=\"GET a\" endpoint=\"GET\" turned",
    ]);
}

#[test]
fn joined_late_at_a_list_of_strings() {
    let list = "*2\r\n$5\r\nqueue\r\n$3\r\njob\r\n";
    let get = |at: u32| {
        format!(
            "redis request_response ok at {at} for 1000 bytes 20/5 request_type=\"GET\" resource=\"GET a\" endpoint=\"GET\""
        )
    };
    let joined = || Talk::new(Opening::TCP_JOINED);
    // The answer to a BLPOP is no command QUEUE, and a message no command MESSAGE.
    joined()
        .client(list)
        .server(command(&["GET", "a"]))
        .client("$-1\r\n")
        .expect(&["redis response_only ok at 1000 bytes 0/24 turned", &format!("{} turned", get(2000))]);
    let message = "*3\r\n$7\r\nmessage\r\n$4\r\nnews\r\n$3\r\nnow\r\n";
    let calls = joined().client(message).calls();
    assert!(calls.len() == 1 && calls[0].ends_with("turned"), "{calls:?}");
    // A command of a module is one, as its answer shows.
    let calls = joined()
        .client(command(&["FT.SEARCH", "index"]))
        .server(":0\r\n")
        .client(command(&["GET", "a"]))
        .server("$-1\r\n")
        .calls();
    assert!(calls[0].contains("request_type=\"FT.SEARCH\""), "{calls:?}");
    assert_eq!(calls[1], get(3000));
}

#[test]
fn what_follows_replication_is_not_read() {
    Talk::tcp()
        .client(command(&["PSYNC", "?", "-1"]))
        .server("+FULLRESYNC abc 0\r\n$5\r\nREDIS*1\r\n$4\r\nPING\r\n")
        .client(command(&["REPLCONF", "ACK", "0"]))
        .expect(&["redis request_response ok at 1000 for 1000 bytes 30/19 request_type=\"PSYNC\" resource=\"PSYNC ? ?\" endpoint=\"PSYNC\""]);
}

#[test]
fn other_protocols_of_lines_are_none_of_ours() {
    for (client, server) in
        [("get key\r\n", "END\r\n"), ("PING\r\n", "PONG\r\n"), ("HELO a\r\n", "250 b\r\n"), ("QUIT\r\n", "221 Bye\r\n")]
    {
        Talk::tcp().client(client).server(server).expect(&[]);
    }
    Talk::tcp().server("+OK POP3 ready\r\n").client("AUTH\r\n").server("+OK\r\n").expect(&[]);
}

#[test]
fn what_a_lost_reply_holds_is_no_reply() {
    Talk::tcp()
        .client(command(&["COMMAND", "DOCS"]))
        .piece(Side::Server, b"*200\r\n$3\r\nget\r\n*2\r\n$7\r\nsummary\r\n$3\r\nabc\r\n", 900)
        .piece(Side::Server, b"$3\r\nset\r\n+OK\r\n:1\r\n", 900)
        .server("*0\r\n$1\r\nx\r\n")
        .client(command(&["GET", "a"]))
        .server("$1\r\n1\r\n")
        .expect(&[
            "redis request_response ok at 1000 for 1000 bytes 27/41 request_type=\"COMMAND\" resource=\"COMMAND DOCS\" endpoint=\"COMMAND\" incomplete",
            "redis request_response ok at 5000 for 1000 bytes 20/7 request_type=\"GET\" resource=\"GET a\" endpoint=\"GET\"",
        ]);
}
