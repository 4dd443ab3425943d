//! Rungs: the numbers of epochs at which trials are compared, in ascending order.

/// Returns the rungs `first * eta^k`, rounded down, without repetitions.
pub(crate) fn geometric(first: u32, eta: f64) -> Vec<u32> {
    let mut rungs = Vec::new();
    let mut rung = f64::from(first.max(1));
    while rung <= f64::from(u32::MAX) {
        push(&mut rungs, rung);
        rung *= eta.max(MIN_ETA);
    }
    rungs
}

/// Returns the at most `count` rungs `last / eta^k`, rounded down, from 1 on; `last` is none.
pub(crate) fn below(last: u32, count: u32, eta: f64) -> Vec<u32> {
    let powers = (1..=count).map(|k| f64::from(last) / eta.max(MIN_ETA).powi(power(k)));
    let rungs: Vec<f64> = powers.take_while(|rung| *rung >= 1.0 - ROUNDING).collect();
    let mut ascending = Vec::new();
    rungs.into_iter().rev().for_each(|rung| push(&mut ascending, rung));
    ascending
}

/// The smallest factor between rungs.
pub(crate) const MIN_ETA: f64 = 1.5;

/// The tolerance for a quotient or power that is a whole number but for rounding.
pub(crate) const ROUNDING: f64 = 1e-9;

/// Returns the part of `ladder` in the epochs after `after` up to `to`.
pub(crate) fn between(ladder: &[u32], after: u32, to: u32) -> &[u32] {
    let first = ladder.partition_point(|rung| *rung <= after);
    let end = ladder.partition_point(|rung| *rung <= to);
    ladder.get(first..end).unwrap_or_default()
}

fn push(rungs: &mut Vec<u32>, rung: f64) {
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "rounds down")]
    let rung = (rung * (1.0 + ROUNDING)) as u32;
    if rungs.last().is_none_or(|last| *last < rung) {
        rungs.push(rung);
    }
}

fn power(k: u32) -> i32 {
    i32::try_from(k).unwrap_or(i32::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rungs_are_powers_of_eta() {
        assert_eq!(geometric(1, 3.0)[..5], [1, 3, 9, 27, 81]);
        assert_eq!(geometric(2, 1.5)[..5], [2, 3, 4, 6, 10]);
        assert_eq!(geometric(1, 1.5)[..5], [1, 2, 3, 5, 7]);
        assert_eq!(below(27, 2, 3.0), [3, 9]);
        assert_eq!(below(27, 9, 3.0), [1, 3, 9]);
        assert_eq!(below(5, 2, 2.0), [1, 2]);
        assert_eq!(below(1, 2, 2.0), [0; 0]);
    }

    #[test]
    fn a_rung_is_crossed_by_the_commit_that_reaches_it() {
        let ladder = [1, 3, 9];
        assert_eq!(between(&ladder, 0, 1), [1]);
        assert_eq!(between(&ladder, 1, 2), [0; 0]);
        assert_eq!(between(&ladder, 1, 9), [3, 9]);
        assert_eq!(between(&ladder, 9, 9), [0; 0]);
        assert_eq!(between(&ladder, 9, 3), [0; 0]);
    }
}
