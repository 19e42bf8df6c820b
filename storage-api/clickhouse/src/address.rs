use std::fmt;
use std::str::FromStr;

use percent_encoding::percent_decode_str;
use storage_api::Durability;

const PORT: u16 = 8123;
/// Hosts of one cluster that are tried or told one after the other.
const MOST_HOSTS: usize = 64;

/// Where a ClickHouse is: `clickhouse://[USER[:PASSWORD]@]HOST[:PORT][,HOST[:PORT]…]/DATABASE[?cluster=NAME][&durability=os]`.
///
/// - The port is that of the HTTP interface, 8123 unless said otherwise. User and password may be percent-encoded (RFC 3986
///   §2.1).
/// - `cluster` names one of the server's `remote_servers`: tables are then spread over its shards. Several hosts may be named
///   only together with it, one of each shard where the cluster has no Keeper: the first that answers is asked, and changes
///   of tables are told to all.
/// - `durability` is `disk` (each batch is written through, the default) or `os`.
///
/// The password is never shown, neither by `Display` nor by `Debug` nor in an error.
#[derive(Clone, PartialEq, Eq)]
pub struct Address {
    pub(crate) hosts: Vec<String>,
    pub(crate) user: String,
    pub(crate) password: String,
    pub(crate) database: String,
    pub(crate) cluster: Option<String>,
    pub(crate) durability: Durability,
}

/// Text that is no address of a ClickHouse.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum AddressError {
    /// It does not begin with `clickhouse://`.
    #[error("an address of a ClickHouse begins with clickhouse://")]
    Scheme,
    /// No host, an impossible one, or too many.
    #[error("`{0}` is no host")]
    Host(String),
    /// No database, or one with other characters than letters, digits and underscores.
    #[error("`{0}` is no name of a database: letters, digits and underscores, 1 to 63")]
    Database(String),
    /// The name of the cluster has other characters than letters, digits, `_`, `-` and `.`.
    #[error("`{0}` is no name of a cluster")]
    Cluster(String),
    /// Neither `os` nor `disk`.
    #[error("`{0}` is no durability: os or disk")]
    Durability(String),
    /// A parameter that means nothing.
    #[error("`{0}` is no parameter of an address: cluster, durability")]
    Parameter(String),
    /// User or password are no UTF-8 when decoded, or hold control characters.
    #[error("user and password must be text without control characters")]
    Login,
    /// Several hosts without a cluster would each hold something else.
    #[error("several hosts need a cluster: add ?cluster=NAME")]
    Hosts,
}

impl FromStr for Address {
    type Err = AddressError;

    fn from_str(url: &str) -> Result<Self, AddressError> {
        let rest = url.strip_prefix("clickhouse://").ok_or(AddressError::Scheme)?;
        let (place, parameters) = rest.split_once('?').unwrap_or((rest, ""));
        let (login, place) = place.rsplit_once('@').unwrap_or(("", place));
        let (hosts, database) = place.split_once('/').unwrap_or((place, ""));
        let (user, password) = login.split_once(':').unwrap_or((login, ""));
        let mut address = Self {
            hosts: hosts.split(',').map(host).collect::<Result<_, _>>()?,
            user: decoded(user)?,
            password: decoded(password)?,
            database: database.to_owned(),
            cluster: None,
            durability: Durability::Disk,
        };
        if address.hosts.len() > MOST_HOSTS {
            return Err(AddressError::Host(short(hosts)));
        }
        if !is_word(database, "_") {
            return Err(AddressError::Database(short(database)));
        }
        for parameter in parameters.split('&').filter(|parameter| !parameter.is_empty()) {
            let (name, value) = parameter.split_once('=').unwrap_or((parameter, ""));
            match (name, value) {
                ("cluster", value) if is_word(value, "_-.") => address.cluster = Some(value.to_owned()),
                ("cluster", value) => return Err(AddressError::Cluster(short(value))),
                ("durability", "os") => address.durability = Durability::Os,
                ("durability", "disk") => address.durability = Durability::Disk,
                ("durability", value) => return Err(AddressError::Durability(short(value))),
                (name, _) => return Err(AddressError::Parameter(short(name))),
            }
        }
        if address.hosts.len() > 1 && address.cluster.is_none() {
            return Err(AddressError::Hosts);
        }
        Ok(address)
    }
}

/// With its port.
fn host(text: &str) -> Result<String, AddressError> {
    let wrong = || AddressError::Host(short(text));
    let (name, port) = match text.rsplit_once(':') {
        // The colons of an IPv6 address stand in brackets (RFC 3986 §3.2.2).
        Some((name, port)) if !port.ends_with(']') => (name, port.parse().map_err(|_| wrong())?),
        _ => (text, PORT),
    };
    let inner = name.strip_prefix('[').and_then(|name| name.strip_suffix(']'));
    let fits = match inner {
        Some(inner) => inner.parse::<std::net::Ipv6Addr>().is_ok(),
        None => is_word(name, "-._") && name.len() <= 253,
    };
    if fits { Ok(format!("{name}:{port}")) } else { Err(wrong()) }
}

fn is_word(text: &str, others: &str) -> bool {
    let fits = |c: char| c.is_ascii_alphanumeric() || others.contains(c);
    (1..=253).contains(&text.len()) && text.chars().all(fits)
}

fn decoded(text: &str) -> Result<String, AddressError> {
    let text = percent_decode_str(text).decode_utf8().map_err(|_| AddressError::Login)?;
    if text.chars().any(char::is_control) { Err(AddressError::Login) } else { Ok(text.into_owned()) }
}

fn short(text: &str) -> String {
    text.chars().take(64).collect()
}

/// Without user and password.
impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "clickhouse://{}/{}", self.hosts.join(","), self.database)?;
        self.cluster.iter().try_for_each(|cluster| write!(f, "?cluster={cluster}"))
    }
}

impl fmt::Debug for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Address({self})")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(url: &str) -> Result<Address, AddressError> {
        url.parse()
    }

    #[test]
    fn all_parts_are_found() {
        let address =
            parse("clickhouse://me%40home:p%2Fw:%25@h1:9000,[::1],h-2.example.org/db_1?cluster=c-1&durability=os");
        let address = address.unwrap();
        assert_eq!(address.hosts, ["h1:9000", "[::1]:8123", "h-2.example.org:8123"]);
        assert_eq!((address.user.as_str(), address.password.as_str()), ("me@home", "p/w:%"));
        assert_eq!((address.database.as_str(), address.cluster.as_deref()), ("db_1", Some("c-1")));
        assert_eq!(address.durability, Durability::Os);
        let plain = parse("clickhouse://h/db").unwrap();
        assert_eq!((plain.hosts, plain.durability), (vec!["h:8123".to_owned()], Durability::Disk));
    }

    #[test]
    fn the_password_is_never_shown() {
        let address = parse("clickhouse://me:secret@h/db").unwrap();
        assert!(!format!("{address} {address:?}").contains("secret"));
        for wrong in [
            "me:secret@h/db",
            "clickhouse://me:secret@/db",
            "clickhouse://me:secret@h/d b",
            "clickhouse://me:secret@h/db?x=1",
        ] {
            let error = parse(wrong).unwrap_err();
            assert!(!error.to_string().contains("secret"), "{error}");
        }
    }

    #[test]
    fn what_is_no_address_is_said() {
        use AddressError::*;
        assert_eq!(parse("http://h/db"), Err(Scheme));
        for host in ["", ":1", "h:x", "h:70000", "h h", "[::1", "h,,i", "h/../x"] {
            let error = parse(&format!("clickhouse://{host}/db?cluster=c")).unwrap_err();
            assert!(matches!(error, Host(_) | Database(_)), "{host}: {error}");
        }
        for database in ["", "a-b", "a`b", "a'b", "a/b", "ä"] {
            assert!(matches!(parse(&format!("clickhouse://h/{database}")), Err(Database(_))), "{database}");
        }
        assert_eq!(parse("clickhouse://h/db?cluster=a'b"), Err(Cluster("a'b".to_owned())));
        assert_eq!(parse("clickhouse://h/db?durability=x"), Err(Durability("x".to_owned())));
        assert_eq!(parse("clickhouse://h/db?user=x"), Err(Parameter("user".to_owned())));
        assert_eq!(parse("clickhouse://h,i/db"), Err(Hosts));
        assert_eq!(parse("clickhouse://a%0ab@h/db"), Err(Login));
        assert_eq!(parse("clickhouse://a%ff@h/db"), Err(Login));
    }
}
