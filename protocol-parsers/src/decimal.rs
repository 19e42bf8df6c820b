//! Numbers in decimal, without the detour through `core::fmt`.

use alloc::string::String;

/// Appends a number.
pub(crate) fn push_number(text: &mut String, number: i64) {
    if number < 0 {
        text.push('-');
    }
    push_decimal(text, number.unsigned_abs());
}

fn push_decimal(text: &mut String, number: u64) {
    if number >= 10 {
        push_decimal(text, number / 10);
    }
    text.push(char::from(b'0' + (number % 10) as u8));
}

/// The digits of a number.
pub(crate) fn digits(mut number: u64, room: &mut [u8; 20]) -> &[u8] {
    let mut first = room.len();
    for (position, digit) in room.iter_mut().enumerate().rev() {
        *digit = b'0' + (number % 10) as u8;
        number /= 10;
        first = position;
        if number == 0 {
            break;
        }
    }
    room.get(first..).unwrap_or_default()
}

/// Three digits for every number below 1000.
static BELOW_1000: [u8; 3000] = {
    let (mut digits, mut number) = ([0; 3000], 0);
    while number < 1000 {
        digits[number * 3] = b'0' + (number / 100) as u8;
        digits[number * 3 + 1] = b'0' + (number / 10 % 10) as u8;
        digits[number * 3 + 2] = b'0' + (number % 10) as u8;
        number += 1;
    }
    digits
};
static TEXT_BELOW_1000: &str = match core::str::from_utf8(&BELOW_1000) {
    Ok(text) => text,
    Err(_) => "",
};

/// The digits of a number below 1000.
#[inline]
pub(crate) fn small(number: u64) -> Option<&'static str> {
    let zeros = match number {
        0..10 => 2,
        10..100 => 1,
        100..1000 => 0,
        _ => return None,
    };
    let start = number as usize * 3;
    TEXT_BELOW_1000.get(start + zeros..start + 3)
}

#[cfg(test)]
mod tests {
    use super::*;
    use alloc::string::ToString;

    #[test]
    fn numbers_in_decimal() {
        for number in [0, 7, 10, 999, 1000, 12_005, 1_000_000, -1, i64::MIN, i64::MAX] {
            let mut text = String::new();
            push_number(&mut text, number);
            assert_eq!(text, number.to_string());
        }
        for number in 0..1000 {
            assert_eq!(small(number), Some(number.to_string().as_str()));
        }
        assert_eq!(small(1000), None);
        assert_eq!(digits(u64::MAX, &mut [0; 20]), u64::MAX.to_string().as_bytes());
    }
}
