//! Ids of distributed traces in headers, metadata and attachments.

use crate::ascii::is;
use crate::{Field, MessageWriter, Options, TraceFormat};

/// A header that carries ids of a trace.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Header {
    /// W3C Trace Context.
    TraceParent,
    /// W3C Trace Context, vendor part.
    TraceState,
    /// B3 in one header.
    B3,
    B3TraceId,
    B3SpanId,
    B3ParentSpanId,
    /// SkyWalking, version 8.
    Sw8,
    /// Jaeger.
    UberTraceId,
    /// Handed on by proxies.
    RequestId,
    /// Ids under names that the user chose, taken as they are.
    OwnTraceId,
    OwnSpanId,
}

impl Header {
    /// Which one a name is, in any case.
    pub(crate) fn named(name: &[u8]) -> Option<Self> {
        let (same, header) = match name.len() {
            2 => (is(name, b"b3"), Self::B3),
            3 => (is(name, b"sw8"), Self::Sw8),
            10 => (is(name, b"tracestate"), Self::TraceState),
            11 if name.first().is_some_and(|byte| byte | 0x20 == b't') => (is(name, b"traceparent"), Self::TraceParent),
            11 => (is(name, b"x-b3-spanid"), Self::B3SpanId),
            12 if name.get(2).is_some_and(|byte| byte | 0x20 == b'b') => (is(name, b"x-b3-traceid"), Self::B3TraceId),
            12 => (is(name, b"x-request-id"), Self::RequestId),
            13 => (is(name, b"uber-trace-id"), Self::UberTraceId),
            17 => (is(name, b"x-b3-parentspanid"), Self::B3ParentSpanId),
            _ => return None,
        };
        same.then_some(header)
    }

    /// Which one a name is, in any case, those that the user chose included.
    pub(crate) fn chosen(name: &[u8], options: &Options) -> Option<Self> {
        Self::named(name).or_else(|| Self::own(name, options))
    }

    /// Which one the user chose this name for.
    pub(crate) fn own(name: &[u8], options: &Options) -> Option<Self> {
        let own = options.trace_headers.iter().find(|own| own.name.as_bytes().eq_ignore_ascii_case(name))?;
        Some(match own.format {
            TraceFormat::TraceParent => Self::TraceParent,
            TraceFormat::B3 => Self::B3,
            TraceFormat::Sw8 => Self::Sw8,
            TraceFormat::UberTraceId => Self::UberTraceId,
            TraceFormat::TraceId => Self::OwnTraceId,
            TraceFormat::SpanId => Self::OwnSpanId,
            TraceFormat::RequestId => Self::RequestId,
        })
    }
}

/// Takes down what a header says. The first one of several formats wins.
pub(crate) fn write(message: &mut MessageWriter<'_>, header: Header, value: &[u8]) {
    match header {
        Header::TraceParent => traceparent(message, value),
        Header::TraceState => message.attribute("tracestate", value),
        Header::B3 => b3(message, value),
        Header::B3TraceId => hex(message, Field::TraceId, value),
        Header::B3SpanId => hex(message, Field::SpanId, value),
        Header::B3ParentSpanId => hex(message, Field::ParentSpanId, value),
        Header::Sw8 => sw8(message, value),
        Header::UberTraceId => uber(message, value),
        Header::RequestId => message.field(Field::XRequestId, value),
        Header::OwnTraceId => message.field(Field::TraceId, value),
        Header::OwnSpanId => message.field(Field::SpanId, value),
    }
}

/// `version-traceid-parentid-flags` (W3C Trace Context, 3.2).
fn traceparent(message: &mut MessageWriter<'_>, value: &[u8]) {
    let (Some(b'-'), Some(b'-'), Some(b'-')) = (value.get(2), value.get(35), value.get(52)) else { return };
    let (Some(version), Some(trace), Some(span)) = (value.get(..2), value.get(3..35), value.get(36..52)) else {
        return;
    };
    if version != b"ff" && version.iter().all(u8::is_ascii_hexdigit) && is_id(trace) && is_id(span) {
        if has_upper(trace) | has_upper(span) {
            lower(message, Field::TraceId, trace);
            lower(message, Field::SpanId, span);
        } else {
            message.field(Field::TraceId, trace);
            message.field(Field::SpanId, span);
        }
    }
}

/// `traceid-spanid[-sampled[-parentspanid]]` (B3 propagation).
fn b3(message: &mut MessageWriter<'_>, value: &[u8]) {
    let mut parts = value.split(|byte| *byte == b'-');
    let (Some(trace), Some(span)) = (parts.next(), parts.next()) else { return };
    hex(message, Field::TraceId, trace);
    hex(message, Field::SpanId, span);
    if let Some(parent) = parts.nth(1) {
        hex(message, Field::ParentSpanId, parent);
    }
}

/// `sample-traceid-segmentid-spanid-…`, the ids in Base64 (SkyWalking cross-process propagation, version 3).
fn sw8(message: &mut MessageWriter<'_>, value: &[u8]) {
    let mut parts = value.split(|byte| *byte == b'-');
    let (Some(_), Some(trace), Some(segment), Some(span)) = (parts.next(), parts.next(), parts.next(), parts.next())
    else {
        return;
    };
    let (mut trace_id, mut segment_id) = ([0; 192], [0; 192]);
    let (Some(trace), Some(segment)) = (base64(trace, &mut trace_id), base64(segment, &mut segment_id)) else { return };
    message.field(Field::TraceId, trace);
    message.field_with(Field::SpanId, |text| {
        crate::fields::push_escaped(text, segment, usize::MAX);
        text.push('-');
        crate::fields::push_escaped(text, span, usize::MAX);
    });
}

/// `traceid:spanid:parentid:flags` (Jaeger client libraries).
fn uber(message: &mut MessageWriter<'_>, value: &[u8]) {
    let separator = |byte: &u8| *byte == b':';
    let encoded = !value.iter().any(separator);
    let mut parts = value.split(separator);
    if encoded {
        return;
    }
    if let (Some(trace), Some(span)) = (parts.next(), parts.next()) {
        hex(message, Field::TraceId, trace);
        hex(message, Field::SpanId, span);
    }
}

/// Sets a field to hexadecimal digits in lower case; anything else is left out.
fn hex(message: &mut MessageWriter<'_>, field: Field, value: &[u8]) {
    if value.len() <= 32 && is_id(value) {
        lower(message, field, value);
    }
}

/// Sets a field to at most 32 characters in lower case.
fn lower(message: &mut MessageWriter<'_>, field: Field, value: &[u8]) {
    let mut lower = [0; 32];
    let lower = lower.get_mut(..value.len()).unwrap_or_default();
    lower.copy_from_slice(value);
    lower.make_ascii_lowercase();
    message.field(field, lower);
}

fn has_upper(value: &[u8]) -> bool {
    value.iter().fold(false, |any, byte| any | byte.is_ascii_uppercase())
}

/// Whether these are hexadecimal digits, not all of them zero.
fn is_id(value: &[u8]) -> bool {
    // Without an early end the loop becomes one over many bytes at a time.
    let (mut digits, mut bits) = (true, 0);
    for byte in value {
        digits &= (byte.wrapping_sub(b'0') < 10) | ((byte | 0x20).wrapping_sub(b'a') < 6);
        bits |= byte ^ b'0';
    }
    digits && bits != 0
}

/// Decodes Base64 with the standard alphabet, with or without padding.
fn base64<'a>(text: &[u8], room: &'a mut [u8; 192]) -> Option<&'a [u8]> {
    let mut bits = 0_u32;
    let mut count = 0;
    let mut length = 0;
    let text = text.strip_suffix(b"==").or_else(|| text.strip_suffix(b"=")).unwrap_or(text);
    for byte in text {
        let value = match byte {
            b'A'..=b'Z' => byte - b'A',
            b'a'..=b'z' => byte - b'a' + 26,
            b'0'..=b'9' => byte - b'0' + 52,
            b'+' => 62,
            b'/' => 63,
            _ => return None,
        };
        bits = bits << 6 | u32::from(value);
        count += 6;
        if count >= 8 {
            count -= 8;
            *room.get_mut(length)? = (bits >> count) as u8;
            length += 1;
        }
    }
    room.get(..length)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_in_any_case() {
        for (name, header) in [
            ("Traceparent", Header::TraceParent),
            ("X-B3-TraceId", Header::B3TraceId),
            ("x-request-id", Header::RequestId),
            ("SW8", Header::Sw8),
            ("uber-trace-id", Header::UberTraceId),
        ] {
            assert_eq!(Header::named(name.as_bytes()), Some(header));
        }
        assert_eq!(Header::named(b"accept"), None);
        assert_eq!(Header::named(b"x-forwarded"), None);
    }

    #[test]
    fn base64_with_and_without_padding() {
        assert_eq!(base64(b"YWJj", &mut [0; 192]), Some(&b"abc"[..]));
        assert_eq!(base64(b"YWI=", &mut [0; 192]), Some(&b"ab"[..]));
        assert_eq!(base64(b"YQ", &mut [0; 192]), Some(&b"a"[..]));
        assert_eq!(base64(b"a b", &mut [0; 192]), None);
        assert_eq!(base64(&[b'A'; 300], &mut [0; 192]), None);
    }
}
