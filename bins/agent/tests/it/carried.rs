//! However its packets are carried and cut, a recording holds the same calls.

use metaflow_packet_capture::{LinkType, PcapWriter};
use serde_json::Value;

use crate::program::run_with_input;

const HERE: [u8; 4] = [192, 0, 2, 1];
const THERE: [u8; 4] = [192, 0, 2, 2];
const ETHERNET: usize = 14;
const TCP: u8 = 6;

/// One packet of a recording: its time and its bytes from the IP header on, without what pads the frame.
type Packet = (u64, Vec<u8>);

fn recordings() -> Vec<(String, Vec<Packet>)> {
    let folder = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("testdata");
    let mut files: Vec<_> = std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()).collect();
    files.retain(|path| path.extension().is_some_and(|ending| ending == "pcap"));
    files.sort();
    assert!(files.len() > 10);
    let name = |path: &std::path::PathBuf| path.display().to_string();
    // What is cut already cannot be cut again.
    files.iter().filter_map(|path| Some((name(path), packets(&std::fs::read(path).unwrap())?))).collect()
}

/// `None` when the capture kept only the beginnings of packets.
fn packets(file: &[u8]) -> Option<Vec<Packet>> {
    let number = |at: usize| u32::from_le_bytes(*file[at..].first_chunk().unwrap());
    let unit = if number(0) == 0xa1b2_3c4d { 1 } else { 1000 };
    let mut packets = Vec::new();
    let mut at = 24;
    while at < file.len() {
        let (seconds, fraction, length) = (number(at), number(at + 4), number(at + 8) as usize);
        if number(at + 12) as usize != length {
            return None;
        }
        let frame = &file[at + 16..at + 16 + length];
        at += 16 + length;
        // Recordings are Ethernet with IPv4.
        if let [_, _, _, _, _, _, _, _, _, _, _, _, 8, 0, ip @ ..] = frame {
            let total = usize::from(u16::from_be_bytes([ip[2], ip[3]]));
            let time = u64::from(seconds) * 1_000_000_000 + u64::from(fraction) * unit;
            packets.push((time, ip[..total].to_vec()));
        }
    }
    Some(packets)
}

/// The calls and conversations of a capture made of these frames.
fn read(link: LinkType, frames: &[Packet]) -> Vec<Value> {
    let mut writer = PcapWriter::new(Vec::new(), link).unwrap();
    for (time, frame) in frames {
        writer.write(*time, frame, u32::try_from(frame.len()).unwrap()).unwrap();
    }
    let ran = run_with_input(&["replay", "-", "-o", "jsonl"], &writer.into_inner());
    assert_eq!((ran.code, ran.stderr.as_str()), (0, ""));
    ran.records()
}

/// What does not depend on how the packets came, one text a record.
fn told(records: &[Value], except: &[&str]) -> Vec<String> {
    let mut lines: Vec<_> = records
        .iter()
        .filter(|record| !except.contains(&record["type"].as_str().unwrap()))
        .map(|record| {
            let mut record = record.as_object().unwrap().clone();
            record.retain(|name, _| {
                !matches!(name.as_str(), "id" | "flow_id" | "tunnel" | "vlan" | "bytes_client" | "bytes_server")
            });
            Value::from(record).to_string()
        })
        .collect();
    lines.sort();
    lines
}

fn ipv4(protocol: u8, identification: u16, fragment: u16, payload: &[u8]) -> Vec<u8> {
    let mut header = vec![0x45, 0];
    header.extend(u16::try_from(20 + payload.len()).unwrap().to_be_bytes());
    header.extend(identification.to_be_bytes());
    header.extend(fragment.to_be_bytes());
    header.extend([64, protocol, 0, 0]);
    header.extend(HERE);
    header.extend(THERE);
    [&header, payload].concat()
}

fn udp(port: u16, header: &[u8], payload: &[u8]) -> Vec<u8> {
    let length = u16::try_from(8 + header.len() + payload.len()).unwrap();
    let ports = [55_555_u16, port, length, 0].map(u16::to_be_bytes).concat();
    ipv4(17, 0, 0, &[&ports, header, payload].concat())
}

fn ethernet(kind: &[u8], payload: &[u8]) -> Vec<u8> {
    [&[2; ETHERNET - 2], kind, payload].concat()
}

#[test]
fn whatever_carries_a_recording_its_calls_and_conversations_are_the_same() {
    type Carry = fn(&[u8]) -> Vec<u8>;
    let carriers: [(&str, LinkType, Carry); 11] = [
        ("raw", LinkType::RawIp, |ip| ip.to_vec()),
        ("cooked", LinkType::LinuxCooked, |ip| [&[0, 0, 0, 1, 0, 6, 2, 0, 0, 0, 0, 1, 0, 0, 8, 0], ip].concat()),
        ("null", LinkType::Null, |ip| [&[2, 0, 0, 0], ip].concat()),
        ("padded", LinkType::Ethernet, |ip| ethernet(&[8, 0], &[ip, &[0; 46]].concat())),
        ("vlan in vlan", LinkType::Ethernet, |ip| ethernet(&[0x88, 0xa8, 0, 100, 0x81, 0, 0, 7, 8, 0], ip)),
        ("mpls", LinkType::Ethernet, |ip| ethernet(&[0x88, 0x47, 0, 1, 0x01, 64], ip)),
        ("ip in ip", LinkType::RawIp, |ip| ipv4(4, 0, 0, ip)),
        ("gre", LinkType::RawIp, |ip| ipv4(47, 0, 0, &[&[0x20, 0, 8, 0, 0, 0, 0, 9], ip].concat())),
        ("vxlan", LinkType::RawIp, |ip| udp(4789, &[8, 0, 0, 0, 0, 0, 42, 0], &ethernet(&[8, 0], ip))),
        ("geneve", LinkType::RawIp, |ip| udp(6081, &[0, 0, 0x65, 0x58, 0, 0, 42, 0], &ethernet(&[8, 0], ip))),
        ("gtp", LinkType::RawIp, |ip| {
            let length = u16::try_from(ip.len()).unwrap().to_be_bytes();
            udp(2152, &[0x30, 255, length[0], length[1], 0, 0, 0, 77], ip)
        }),
    ];
    for (name, packets) in recordings() {
        // Around a frame of a loopback interface, which may be 64 KiB long, there is no room.
        let room = packets.iter().all(|(_, ip)| ip.len() < 65_000);
        let plain = told(&read(LinkType::RawIp, &packets), &[]);
        for (carrier, link, carry) in carriers {
            if !room && !matches!(carrier, "raw" | "cooked" | "null") {
                continue;
            }
            let frames: Vec<_> = packets.iter().map(|(time, ip)| (*time, carry(ip))).collect();
            assert_eq!(told(&read(link, &frames), &[]), plain, "{name} in {carrier}");
        }
    }
}

#[test]
fn however_the_packets_of_a_recording_are_cut_its_calls_are_the_same() {
    for (name, packets) in recordings() {
        let calls = told(&read(LinkType::RawIp, &packets), &["flow"]);
        let fragments: Vec<_> =
            packets.iter().zip(1..).flat_map(|(packet, number)| fragments(packet, number)).collect();
        assert_eq!(told(&read(LinkType::RawIp, &fragments), &["flow"]), calls, "{name} in fragments");
        // Where a connection is joined in its middle, messages are looked for where segments begin.
        let sizes: &[usize] = if name.contains("_cut") { &[] } else { &[100, 700] };
        for &most in sizes {
            let segments: Vec<_> = packets.iter().flat_map(|packet| segments(packet, most)).collect();
            assert_eq!(told(&read(LinkType::RawIp, &segments), &["flow"]), calls, "{name} in segments of {most}");
        }
        let twice: Vec<_> = packets.iter().flat_map(|packet| [packet.clone(), packet.clone()]).collect();
        let tcp = packets.iter().all(|(_, ip)| ip[9] == TCP);
        if tcp {
            assert_eq!(told(&read(LinkType::RawIp, &twice), &["flow"]), calls, "{name} twice");
        }
    }
}

/// The fragments of a packet, of at most 1,200 bytes of payload each.
fn fragments((time, ip): &Packet, number: u16) -> Vec<Packet> {
    let (header, payload) = ip.split_at(20);
    let count = payload.chunks(1200).count();
    let fragment = |(place, part): (usize, &[u8])| {
        let more = if place + 1 < count { 0x2000 } else { 0 };
        let mut packet = ipv4(header[9], number, u16::try_from(place * 150).unwrap() | more, part);
        packet[12..20].copy_from_slice(&header[12..20]);
        (*time, packet)
    };
    payload.chunks(1200).enumerate().map(fragment).collect()
}

/// A TCP segment in pieces of at most so many bytes; anything else as it is.
fn segments(packet: &Packet, most: usize) -> Vec<Packet> {
    let (time, ip) = packet;
    let head = 20 + usize::from(ip[32] >> 4) * 4;
    if ip[9] != TCP || ip.len() <= head + most {
        return vec![packet.clone()];
    }
    let sequence = u32::from_be_bytes(*ip[24..].first_chunk().unwrap());
    let piece = |(place, part): (usize, &[u8])| {
        let mut packet = [&ip[..head], part].concat();
        let (length, offset) = (u16::try_from(packet.len()).unwrap(), u32::try_from(place * most).unwrap());
        packet[2..4].copy_from_slice(&length.to_be_bytes());
        packet[24..28].copy_from_slice(&sequence.wrapping_add(offset).to_be_bytes());
        if head + place * most + part.len() < ip.len() {
            // FIN and PSH are those of the last piece.
            packet[33] &= !0x09;
        }
        (*time, packet)
    };
    ip[head..].chunks(most).enumerate().map(piece).collect()
}
