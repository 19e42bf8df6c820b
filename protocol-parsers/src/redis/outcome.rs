//! How commands ended.

use memchr::memmem;

use crate::{Field, Key, MessageWriter, Status};

/// The reply says that it was done.
pub(super) fn ok(message: &mut MessageWriter<'_>) {
    message.response(Key::Order);
    message.status(Status::Ok);
}

/// A command that the server does not know has no key, and the server repeats its arguments: says where they begin.
#[cold]
fn hide_arguments(text: &[u8], message: &mut MessageWriter<'_>) -> Option<usize> {
    let command = message.field_of_request(Key::Order, Field::Resource).unwrap_or_default();
    if let Some((name, _)) = command.split_once(' ') {
        let hidden = alloc::format!("{name} ?");
        message.replace(Field::Resource, hidden.as_bytes());
    }
    let begin = b"with args beginning with: ";
    memmem::find(text, begin).map(|at| at + begin.len()).filter(|at| *at < text.len())
}

/// The reply is an error with this text.
pub(super) fn failed(message: &mut MessageWriter<'_>, text: &[u8]) {
    message.response(Key::Order);
    let redact = message.options().redact;
    let repeated =
        if redact && text.starts_with(b"ERR unknown command") { hide_arguments(text, message) } else { None };
    message.field_with(Field::Exception, |field| {
        crate::fields::push_escaped(field, text.get(..repeated.unwrap_or(text.len())).unwrap_or(text), usize::MAX);
        field.push_str(if repeated.is_some() { "?" } else { "" });
    });
    let code = text.split(|byte| *byte == b' ').next().unwrap_or_default();
    message.status(match code {
        // Ask another node: not an error of either side.
        b"MOVED" | b"ASK" => Status::Ok,
        b"LOADING" | b"OOM" | b"READONLY" | b"BUSY" | b"CLUSTERDOWN" | b"MASTERDOWN" | b"MISCONF" | b"NOREPLICAS"
        | b"TRYAGAIN" | b"UNBLOCKED" | b"IOERR" | b"INPROG" | b"NOGOODSLAVE" | b"NOTBUSY" => Status::ServerError,
        _ => Status::ClientError,
    });
}
