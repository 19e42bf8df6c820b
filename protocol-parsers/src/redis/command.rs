//! What is known of the commands: their names, and which of their arguments may be shown.

use alloc::string::String;

use crate::fields::push_escaped;

/// What CLIENT REPLY said.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) enum Replies {
    #[default]
    On,
    Off,
    /// Not to the next command.
    Skip,
}

/// Commands for an inline recognition, in alphabetical order. Those marked do not occur in other protocols made of lines.
const KNOWN: &[(&str, bool)] = &[
    ("ACL", true),
    ("APPEND", false),
    ("AUTH", false),
    ("BGREWRITEAOF", true),
    ("BGSAVE", true),
    ("BLPOP", true),
    ("BRPOP", true),
    ("CLIENT", true),
    ("CLUSTER", true),
    ("COMMAND", false),
    ("CONFIG", true),
    ("DBSIZE", true),
    ("DECR", false),
    ("DEL", true),
    ("DISCARD", true),
    ("ECHO", false),
    ("EVAL", true),
    ("EVALSHA", true),
    ("EXEC", false),
    ("EXISTS", false),
    ("EXPIRE", true),
    ("FLUSHALL", true),
    ("FLUSHDB", true),
    ("GET", false),
    ("GETSET", true),
    ("HDEL", true),
    ("HELLO", false),
    ("HGET", true),
    ("HGETALL", true),
    ("HINCRBY", true),
    ("HMGET", true),
    ("HMSET", true),
    ("HSET", true),
    ("INCR", false),
    ("INCRBY", true),
    ("INFO", false),
    ("KEYS", false),
    ("LLEN", true),
    ("LPOP", true),
    ("LPUSH", true),
    ("LRANGE", true),
    ("MEMORY", true),
    ("MGET", true),
    ("MONITOR", false),
    ("MSET", true),
    ("MULTI", true),
    ("PERSIST", true),
    ("PING", false),
    ("PSUBSCRIBE", true),
    ("PTTL", true),
    ("PUBLISH", false),
    ("QUIT", false),
    ("REPLCONF", true),
    ("RESET", false),
    ("RPOP", true),
    ("RPUSH", true),
    ("SADD", true),
    ("SCAN", false),
    ("SCARD", true),
    ("SELECT", false),
    ("SET", false),
    ("SETEX", true),
    ("SETNX", true),
    ("SISMEMBER", true),
    ("SMEMBERS", true),
    ("SUBSCRIBE", false),
    ("TIME", false),
    ("TTL", true),
    ("TYPE", false),
    ("UNLINK", true),
    ("UNSUBSCRIBE", false),
    ("XADD", true),
    ("XREAD", true),
    ("ZADD", true),
    ("ZRANGE", true),
    ("ZREM", true),
    ("ZSCORE", true),
];

/// Commands none of whose arguments are keys: after the subcommand, if there is one, everything is a value.
const WITHOUT_KEY: &[&str] =
    &["AUTH", "ECHO", "HELLO", "PING", "MIGRATE", "EVAL", "EVAL_RO", "SCRIPT", "FUNCTION", "FCALL"];
/// Commands with a subcommand.
const WITH_SUBCOMMAND: &[&str] = &[
    "ACL", "CLIENT", "CLUSTER", "COMMAND", "CONFIG", "DEBUG", "FUNCTION", "LATENCY", "MEMORY", "MODULE", "OBJECT",
    "PUBSUB", "SCRIPT", "SENTINEL", "SLOWLOG", "XGROUP", "XINFO",
];

/// Whether this can be the name of a command, also of a module.
pub(super) fn is_name(name: &[u8]) -> bool {
    name.len() >= 2
        && name.len() <= 40
        && name.iter().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'_' | b'-'))
        && name.first().is_some_and(u8::is_ascii_alphabetic)
}

/// Whether a list that begins with this is a message of a subscription.
pub(super) fn is_message(name: &[u8]) -> bool {
    matches!(name, b"message" | b"pmessage" | b"smessage")
}

/// Whether this is what a confirmation of a subscription begins with. Clients may write the command in small letters, too.
pub(super) fn is_confirmation(name: &[u8]) -> bool {
    matches!(name, b"subscribe" | b"unsubscribe" | b"psubscribe" | b"punsubscribe" | b"ssubscribe" | b"sunsubscribe")
}

/// Whether a line is a command that another client sent, as MONITOR shows it: its time, database and client, and its words.
pub(super) fn is_copy(line: &[u8]) -> bool {
    let Some(point) = line.iter().position(|byte| !byte.is_ascii_digit()).filter(|point| *point > 0) else {
        return false;
    };
    matches!(line.get(point..), Some([b'.', fraction @ .., b'"']) if fraction.iter().take(6).all(u8::is_ascii_digit)
        && fraction.get(6..8) == Some(b" ["))
}

/// Whether this is a common command, in any case.
pub(super) fn is_known(name: &[u8]) -> bool {
    find(name).is_some()
}

/// Whether no other protocol made of lines has this word, in upper case.
pub(super) fn is_of_redis_alone(name: &[u8]) -> bool {
    find(name).is_some_and(|(known, alone)| *alone && known.as_bytes() == name)
}

/// Whether a common command begins with these letters.
pub(super) fn begins_known(bytes: &[u8]) -> bool {
    let word = bytes.split(|byte| *byte == b' ').next().unwrap_or_default();
    let begins = |name: &str| name.as_bytes().get(..word.len()).is_some_and(|start| start.eq_ignore_ascii_case(word));
    if word.len() < bytes.len() { is_known(word) } else { KNOWN.iter().any(|(name, _)| begins(name)) }
}

fn find(name: &[u8]) -> Option<&'static (&'static str, bool)> {
    let order = |known: &str| {
        let mut upper = name.iter().map(u8::to_ascii_uppercase);
        let known = known.bytes();
        for letter in known {
            match upper.next() {
                Some(other) if other == letter => {}
                Some(other) => return letter.cmp(&other),
                None => return core::cmp::Ordering::Greater,
            }
        }
        if upper.next().is_some() { core::cmp::Ordering::Less } else { core::cmp::Ordering::Equal }
    };
    KNOWN.binary_search_by(|(known, _)| order(known)).ok().and_then(|position| KNOWN.get(position))
}

/// Appends a command with its arguments. With `redact`, only the subcommand and the first key are shown; of `count` words those that
/// are not there count as values.
pub(super) fn write<'a>(
    text: &mut String,
    mut words: impl Iterator<Item = &'a [u8]>,
    count: usize,
    redact: bool,
    limit: usize,
) {
    let end = text.len().saturating_add(limit);
    let Some(name) = words.next() else { return };
    push_escaped(text, name, limit);
    let mut shown = if redact { shown_arguments(name) } else { usize::MAX };
    let mut written = 1;
    while text.len() <= end {
        let word = words.next();
        if word.is_none() && (written >= count || !redact) {
            return;
        }
        text.push(' ');
        match word {
            Some(word) if shown > 0 => {
                push_escaped(text, word, limit);
                shown -= 1;
            }
            _ => text.push('?'),
        }
        written += 1;
    }
}

/// Whether everything that may be shown of a command is there: the last of these words may be cut.
pub(super) fn is_shown<'a>(mut words: impl Iterator<Item = &'a [u8]>) -> bool {
    // REPLY is told by its argument.
    words.next().is_some_and(|name| !name.eq_ignore_ascii_case(b"CLIENT") && words.count() > shown_arguments(name))
}

/// How many of a command's arguments may be shown.
fn shown_arguments(name: &[u8]) -> usize {
    let is = |list: &[&str]| list.iter().any(|other| name.eq_ignore_ascii_case(other.as_bytes()));
    usize::from(!is(WITHOUT_KEY) || is(WITH_SUBCOMMAND))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_table_is_in_order() {
        assert!(KNOWN.is_sorted());
        for (name, alone) in KNOWN {
            assert!(is_known(name.to_lowercase().as_bytes()));
            assert_eq!(is_of_redis_alone(name.as_bytes()), *alone);
        }
        assert!(!is_known(b"HSETX") && !is_known(b"HSE") && !is_known(b""));
        assert!(begins_known(b"HS") && begins_known(b"get ke") && !begins_known(b"HELO x"));
    }

    #[test]
    fn values_are_left_out() {
        let written = |words: &[&str], redact| {
            let mut text = String::new();
            write(&mut text, words.iter().map(|word| word.as_bytes()), words.len(), redact, 1000);
            text
        };
        assert_eq!(written(&["SET", "k", "secret"], true), "SET k ?");
        assert_eq!(written(&["SET", "k", "secret"], false), "SET k secret");
        assert_eq!(written(&["auth", "user", "secret"], true), "auth ? ?");
        assert_eq!(written(&["CONFIG", "SET", "requirepass", "x"], true), "CONFIG SET ? ?");
        assert_eq!(written(&["PING"], true), "PING");
    }
}
