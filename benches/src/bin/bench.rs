//! Runs one suite and prints what it measured: `bench NAME [--quick]`; without a name lists the suites. Parts of a suite run in a
//! process of their own, also below a profiler: `bench job JOB…`.
#![allow(clippy::print_stdout, clippy::print_stderr, reason = "a program for people")]

use std::process::ExitCode;

fn main() -> ExitCode {
    let mut arguments: Vec<String> = std::env::args().skip(1).collect();
    if arguments == ["job", "calls"] {
        return match benches::tracer::answer_calls() {
            Ok(()) => ExitCode::SUCCESS,
            Err(error) => failed(&error),
        };
    }
    if arguments.first().is_some_and(|argument| argument == "job") {
        return match benches::flow::jobs::run(&arguments[1..]) {
            Ok(lines) => {
                print!("{lines}");
                ExitCode::SUCCESS
            }
            Err(error) => failed(&error),
        };
    }
    let quick =
        arguments.iter().position(|argument| argument == "--quick").map(|place| arguments.remove(place)).is_some();
    let name = match arguments.as_slice() {
        [] => {
            println!("bench NAME [--quick]; suites: {}", names());
            return ExitCode::SUCCESS;
        }
        [name] => name,
        _ => {
            eprintln!("usage: bench NAME [--quick]; suites: {}", names());
            return ExitCode::from(2);
        }
    };
    let Some((_, run)) = benches::SUITES.iter().find(|(suite, _)| suite == name) else {
        eprintln!("no suite is called {name}; suites: {}", names());
        return ExitCode::from(2);
    };
    match run(quick) {
        Ok(report) => {
            print!("{report}");
            ExitCode::SUCCESS
        }
        Err(error) => failed(&error),
    }
}

fn failed(error: &anyhow::Error) -> ExitCode {
    eprintln!("error: {error:#}");
    ExitCode::FAILURE
}

fn names() -> String {
    benches::SUITES.iter().map(|(name, _)| *name).collect::<Vec<_>>().join(" ")
}
