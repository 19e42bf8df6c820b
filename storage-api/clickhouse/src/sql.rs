//! Statements are written by these functions alone: names that keep to the rule of `TableName`, numbers, and text that
//! cannot leave its quotes, for whatever is no plain letter or digit is written as a number.

use std::fmt;
use std::net::Ipv6Addr;

use storage_api::Timestamp;

/// A name of a table, column or database that has been checked: letters, digits and underscores.
pub(crate) struct Name<'a>(pub(crate) &'a str);

/// Bytes as a string literal (ClickHouse documentation, "Syntax: string literals").
pub(crate) struct Text<'a>(pub(crate) &'a [u8]);

/// A float by its bits, so that NaN, the infinities and −0 are what they are.
pub(crate) struct Float(pub(crate) f64);

/// Bytes as an IPv6 address.
pub(crate) struct Address(pub(crate) [u8; 16]);

impl fmt::Display for Name<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "`{}`", self.0)
    }
}

impl fmt::Display for Text<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("'")?;
        for &byte in self.0 {
            if byte.is_ascii_alphanumeric() || b" _-./:;,()=<>+".contains(&byte) {
                write!(f, "{}", byte as char)?;
            } else {
                write!(f, "\\x{byte:02x}")?;
            }
        }
        f.write_str("'")
    }
}

impl fmt::Display for Float {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "reinterpretAsFloat64(toUInt64({}))", self.0.to_bits())
    }
}

impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "toIPv6('{}')", Ipv6Addr::from(self.0))
    }
}

/// The day of an instant as YYYYMMDD, in UTC, by the civil calendar (proleptic Gregorian, as ClickHouse's).
pub(crate) fn day(time: Timestamp) -> i32 {
    // Days since 0000-03-01; a year that begins in March ends with the leap day, so months have a fixed pattern.
    let days = time.as_nanos().div_euclid(86_400_000_000_000) + 719_468;
    let (era, day_of_era) = (days.div_euclid(146_097), days.rem_euclid(146_097));
    let year_of_era = (day_of_era - day_of_era / 1460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let month = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * month + 2) / 5 + 1;
    let (month, carry) = if month < 10 { (month + 3, 0) } else { (month - 9, 1) };
    let year = year_of_era + era * 400 + carry;
    (year * 10_000 + month * 100 + day) as i32
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn days_are_those_of_the_calendar() {
        let at = |days: i64, nanos: i64| day(Timestamp::from_nanos(days * 86_400_000_000_000 + nanos));
        assert_eq!((at(0, 0), at(0, -1), at(20_240, 0)), (19_700_101, 19_691_231, 20_250_601));
        assert_eq!((at(11_016, 0), at(11_017, 0)), (20_000_229, 20_000_301));
        assert_eq!((day(Timestamp::MIN), day(Timestamp::MAX)), (16_770_921, 22_620_411));
        let all: Vec<i32> = (-106_751..106_751).map(|days| at(days, 5)).collect();
        assert!(all.is_sorted() && all.windows(2).all(|pair| pair[0] != pair[1]));
    }

    #[test]
    fn no_byte_leaves_its_quotes() {
        for byte in 0..=255_u8 {
            let literal = Text(&[byte]).to_string();
            let inner = literal.strip_prefix('\'').and_then(|rest| rest.strip_suffix('\'')).unwrap();
            assert!(!inner.contains('\'') && (inner.len() == 1 || inner == format!("\\x{byte:02x}")), "{literal}");
            assert_ne!(inner, "\\");
        }
        assert_eq!(Text(b"it's").to_string(), r"'it\x27s'");
    }
}
