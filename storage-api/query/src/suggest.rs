/// The names nearest to one that nobody knows, best first, at most three.
pub(crate) fn near<'a>(wrong: &str, names: impl IntoIterator<Item = &'a str>) -> Vec<String> {
    let wrong = wrong.to_lowercase();
    let mut scored: Vec<_> = names
        .into_iter()
        .filter_map(|name| {
            let lower = name.to_lowercase();
            let distance = distance(&wrong, &lower)?;
            let part = wrong.len() >= 3 && (lower.contains(&wrong) || wrong.contains(&lower));
            (distance <= (wrong.len() / 3).max(1) || part).then_some((distance, name))
        })
        .collect();
    scored.sort_unstable();
    scored.dedup();
    scored.into_iter().take(3).map(|(_, name)| name.to_owned()).collect()
}

/// Insertions, deletions, changes and swaps of neighbours from one to the other (optimal string alignment); none for names that are
/// too long to be names.
fn distance(a: &str, b: &str) -> Option<usize> {
    let (a, b): (Vec<char>, Vec<char>) = (a.chars().collect(), b.chars().collect());
    if a.len() > 100 || b.len() > 100 {
        return None;
    }
    let mut before: Vec<usize> = Vec::new();
    let mut last: Vec<usize> = (0..=b.len()).collect();
    for i in 1..=a.len() {
        let mut row = vec![i];
        for j in 1..=b.len() {
            let change = last[j - 1] + usize::from(a[i - 1] != b[j - 1]);
            let mut best = change.min(last[j] + 1).min(row[j - 1] + 1);
            if i > 1 && j > 1 && a[i - 1] == b[j - 2] && a[i - 2] == b[j - 1] {
                best = best.min(before[j - 2] + 1);
            }
            row.push(best);
        }
        before = std::mem::replace(&mut last, row);
    }
    last.last().copied()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_slip_of_the_finger_finds_its_name() {
        let names = ["calls", "flows", "metrics_1s", "metrics_1m", "losses"];
        assert_eq!(near("cals", names), ["calls"]);
        assert_eq!(near("folws", names), ["flows"]);
        assert_eq!(near("metrics", names), ["metrics_1m", "metrics_1s"]);
        assert_eq!(near("zebra", names), Vec::<String>::new());
        assert_eq!(near(&"x".repeat(1_000_000), names), Vec::<String>::new());
    }
}
