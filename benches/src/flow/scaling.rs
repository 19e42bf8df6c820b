//! Suite `scaling`: how the cost of a packet grows with what there is of connections, bytes and strangers.

use anyhow::Result;

use super::suite::{job, number};
use crate::Report;
use crate::plot::{Curve, Plot, folder};

/// Connections open at once.
const CONNECTIONS: [u64; 8] = [1, 10, 100, 1_000, 10_000, 100_000, 1_000_000, 10_000_000];
/// Beyond so many only conversations are followed, and a quick run ends.
const MANY: u64 = 1_000_000;
/// Bytes of payload in each packet, up to what fits into a frame of Ethernet.
const BYTES: [u64; 7] = [1, 64, 128, 256, 512, 1024, 1460];
/// Connections that send them.
const FEW: u64 = 1_000;
/// What the table holds of a flood.
const HELD: u64 = 100_000;

/// Runs the suite. A full run draws its plots.
///
/// # Errors
/// When the engine finds something else than there is.
pub fn run(quick: bool) -> Result<Report> {
    let (packets, rounds) = if quick { (300_000, 1) } else { (3_000_000, 3) };
    let mut report = Report::default();
    let works = [("conversations", "flows"), ("and calls", "calls")];
    let mut crowds = works.map(|(name, _)| (name, Vec::new()));
    for connections in CONNECTIONS.into_iter().filter(|connections| !quick || *connections <= MANY) {
        for ((_, points), (_, work)) in crowds.iter_mut().zip(works) {
            if connections > MANY && work == "calls" {
                continue;
            }
            let ns = least(rounds, &["many", &connections.to_string(), &packets.to_string(), work])?;
            report.figure(format!("scaling.connections.{connections}.{work}_ns_per_packet"), ns, "ns");
            points.push((connections as f64, ns));
        }
    }
    let mut sizes = works.map(|(name, _)| (name, Vec::new()));
    for bytes in BYTES {
        for ((_, points), (_, work)) in sizes.iter_mut().zip(works) {
            let (connections, packets, shape) = (FEW.to_string(), packets.to_string(), bytes.to_string());
            let ns = least(rounds, &["many", &connections, &packets, work, &shape])?;
            report.figure(format!("scaling.bytes.{bytes}.{work}_ns_per_packet"), ns, "ns");
            points.push((bytes as f64, ns));
        }
    }
    for ((_, points), (_, work)) in sizes.iter().zip(works) {
        report.figure(format!("scaling.bytes.{work}_ns_per_64_bytes"), slope(points) * 64.0, "ns");
    }
    let flood = least(rounds, &["flood", &packets.to_string(), &HELD.to_string()])?;
    report.figure("scaling.flood.ns_per_packet", flood, "ns");
    let v6 = job(&["many", &MANY.to_string(), "1000", "flows", "ipv6"])?;
    report.figure("scaling.ipv6.bytes_per_flow", number(&v6, "open")?, "B");
    if !quick {
        draw(&crowds, &sizes)?;
    }
    Ok(report)
}

/// The least cost of a packet in so many runs, in nanoseconds.
fn least(rounds: usize, arguments: &[&str]) -> Result<f64> {
    let mut least = f64::INFINITY;
    for _ in 0..rounds {
        least = least.min(number(&job(arguments)?, "packet_ns")?);
    }
    Ok(least)
}

/// Of the line with the least squares of distances.
fn slope(points: &[(f64, f64)]) -> f64 {
    let count = points.len() as f64;
    let mean = |of: fn(&(f64, f64)) -> f64| points.iter().map(of).sum::<f64>() / count;
    let (middle, height) = (mean(|point| point.0), mean(|point| point.1));
    let sum = |of: &dyn Fn(f64, f64) -> f64| points.iter().map(|(x, y)| of(x - middle, y - height)).sum::<f64>();
    sum(&|x, y| x * y) / sum(&|x, _| x * x)
}

fn draw(crowds: &[Curve], sizes: &[Curve]) -> Result<()> {
    let folder = folder();
    std::fs::create_dir_all(&folder)?;
    let up = "ns per packet";
    let title = "A packet of a random one of so many open connections";
    let plot = Plot { title, along: "connections", up, is_tenfold: true };
    plot.draw(&folder.join("connections.svg"), crowds)?;
    let title = "A packet with so many bytes of payload, of 1,000 connections";
    Plot { title, along: "bytes", up, is_tenfold: false }.draw(&folder.join("bytes.svg"), sizes)
}
