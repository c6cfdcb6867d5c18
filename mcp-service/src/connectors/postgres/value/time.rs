//! Times: the counts that PostgreSQL sends come in; RFC 3339 and ISO 8601 text goes out, for every year it can store.

/// Days from 1970-01-01 to 2000-01-01, where PostgreSQL starts to count.
const EPOCH_DAYS: i64 = 10_957;

const MICROS_PER_DAY: i64 = 86_400_000_000;

/// A date; years before 1 and after 9999 are signed (ISO 8601 expanded), year 0 is 1 BC.
pub(super) fn date(days: i32) -> String {
    match days {
        i32::MAX => "infinity".to_owned(),
        i32::MIN => "-infinity".to_owned(),
        days => civil(i64::from(days)),
    }
}

/// A time of day, without trailing zeros in the fraction.
pub(super) fn time(micros: i64) -> String {
    let (seconds, fraction) = (micros.div_euclid(1_000_000), micros.rem_euclid(1_000_000));
    let mut text = format!("{:02}:{:02}:{:02}", seconds / 3600, seconds / 60 % 60, seconds % 60);
    if fraction > 0 {
        text.push('.');
        text.push_str(format!("{fraction:06}").trim_end_matches('0'));
    }
    text
}

/// `timetz`: microseconds, then the seconds west of Greenwich.
pub(super) fn time_with_zone(raw: &[u8]) -> Option<String> {
    let (micros, west) = raw.split_at_checked(8)?;
    let micros = i64::from_be_bytes(micros.try_into().ok()?);
    let east = -i64::from(i32::from_be_bytes(west.try_into().ok()?));
    let (sign, east) = if east < 0 { ('-', -east) } else { ('+', east) };
    let mut zone = format!("{sign}{:02}:{:02}", east / 3600, east / 60 % 60);
    if east % 60 != 0 {
        zone.push_str(&format!(":{:02}", east % 60));
    }
    Some(time(micros) + &zone)
}

/// `timestamp` and `timestamptz`: microseconds since 2000-01-01; `zone` is what follows.
pub(super) fn timestamp(micros: i64, zone: &str) -> String {
    match micros {
        i64::MAX => "infinity".to_owned(),
        i64::MIN => "-infinity".to_owned(),
        micros => {
            let (days, rest) = (micros.div_euclid(MICROS_PER_DAY), micros.rem_euclid(MICROS_PER_DAY));
            format!("{}T{}{zone}", civil(days), time(rest))
        }
    }
}

/// `interval`: microseconds, days and months are three counts that do not convert into each other. ISO 8601 duration;
/// each part keeps its own sign.
pub(super) fn interval(raw: &[u8]) -> Option<String> {
    let micros = i64::from_be_bytes(raw.get(..8)?.try_into().ok()?);
    let days = i32::from_be_bytes(raw.get(8..12)?.try_into().ok()?);
    let months = i32::from_be_bytes(raw.get(12..16)?.try_into().ok()?);
    let mut text = String::from("P");
    for (count, unit) in [(months / 12, 'Y'), (months % 12, 'M'), (days, 'D')] {
        if count != 0 {
            text.push_str(&format!("{count}{unit}"));
        }
    }
    if micros != 0 {
        text.push('T');
        let sign = if micros < 0 { "-" } else { "" };
        let (seconds, fraction) = (micros.unsigned_abs() / 1_000_000, micros.unsigned_abs() % 1_000_000);
        for (count, unit) in [(seconds / 3600, 'H'), (seconds / 60 % 60, 'M')] {
            if count != 0 {
                text.push_str(&format!("{sign}{count}{unit}"));
            }
        }
        if seconds % 60 != 0 || fraction != 0 {
            text.push_str(&format!("{sign}{}", seconds % 60));
            if fraction != 0 {
                text.push('.');
                text.push_str(format!("{fraction:06}").trim_end_matches('0'));
            }
            text.push('S');
        }
    }
    if text.len() == 1 {
        text.push_str("T0S");
    }
    Some(text)
}

/// The calendar date of a day counted from 2000-01-01 (Howard Hinnant, "chrono-compatible low-level date algorithms").
fn civil(days: i64) -> String {
    let z = days + EPOCH_DAYS + 719_468;
    let era = z.div_euclid(146_097);
    let day_of_era = z.rem_euclid(146_097);
    let year_of_era = (day_of_era - day_of_era / 1460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let shifted_month = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * shifted_month + 2) / 5 + 1;
    let month = if shifted_month < 10 { shifted_month + 3 } else { shifted_month - 9 };
    let year = year_of_era + era * 400 + i64::from(month <= 2);
    if (0..=9999).contains(&year) {
        format!("{year:04}-{month:02}-{day:02}")
    } else {
        format!("{year:+05}-{month:02}-{day:02}")
    }
}
