//! Reads one exchange again and again, for a profiler: `profile PROTOCOL TIMES`.
#![allow(clippy::print_stderr, reason = "a program for people")]

fn main() {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let exchange = benches::messages::EXCHANGES
        .iter()
        .find(|exchange| Some(exchange.name) == arguments.first().map(String::as_str));
    match (exchange, arguments.get(1).and_then(|times| times.parse().ok())) {
        (Some(exchange), Some(times)) => benches::parsers::read(exchange, times, true),
        _ => eprintln!("usage: profile PROTOCOL TIMES"),
    }
}
