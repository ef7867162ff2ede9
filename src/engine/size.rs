//! Sizes of assignments, in classes: a worker that announced `maxBytes` is never sent what is
//! larger.
//!
//! There are eight classes to each power of two, so that a worker's limit can be looked up among
//! the tasks that wait. A task's size is rounded up and a worker's limit down: a worker is never
//! sent too much, and uses at least seven eighths of its limit.

/// A class of sizes. They are ordered as the sizes are.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct SizeClass(u16);

/// Sizes below this are all the same.
const LEAST: u32 = 64;
const PER_DOUBLING: u32 = 8;

impl SizeClass {
    /// The class above all sizes: of a worker that has no limit.
    pub(super) const ANY: SizeClass = SizeClass(u16::MAX);

    /// The class of an assignment of so many bytes.
    pub(super) fn of_task(bytes: u32) -> SizeClass {
        if bytes <= LEAST {
            return SizeClass(1);
        }
        let floor = floor(bytes);
        let exact = least_of(floor) == bytes;
        SizeClass(if exact { floor } else { floor + 1 })
    }

    /// The largest class that fits into so many bytes.
    pub(super) fn of_limit(bytes: Option<u32>) -> SizeClass {
        match bytes {
            None => SizeClass::ANY,
            Some(bytes) if bytes < LEAST => SizeClass(0),
            Some(bytes) => SizeClass(floor(bytes)),
        }
    }
}

fn floor(bytes: u32) -> u16 {
    let doublings = bytes.ilog2() - LEAST.ilog2();
    let part = (bytes - (LEAST << doublings)) / ((LEAST << doublings) / PER_DOUBLING);
    u16::try_from(1 + doublings * PER_DOUBLING + part).unwrap_or(u16::MAX - 2)
}

/// The smallest size whose floor is this class.
fn least_of(class: u16) -> u32 {
    let steps = u32::from(class) - 1;
    let whole = LEAST << (steps / PER_DOUBLING);
    whole + whole / PER_DOUBLING * (steps % PER_DOUBLING)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_fits_that_is_larger_and_everything_that_is_an_eighth_smaller() {
        let limits = (64..5_000).chain([1 << 20, u32::MAX]);
        for limit in limits {
            let class = SizeClass::of_limit(Some(limit));
            let sizes = [1, 64, limit / 8 * 7, limit, limit.saturating_add(1)];
            for size in sizes.into_iter().chain(limit.saturating_sub(40)..limit) {
                let fits = SizeClass::of_task(size) <= class;
                assert!(!fits || size <= limit, "{size} into {limit}");
                assert!(fits || size > limit / 8 * 7 - 8, "{size} into {limit}");
            }
            assert!(SizeClass::of_task(limit) < SizeClass::ANY);
        }
    }

    #[test]
    fn a_limit_that_is_a_multiple_of_an_eighth_of_its_power_of_two_is_kept_to_the_byte() {
        for limit in [64, 72, 128, 144, 192, 240, 256, 288, 512, 4_096] {
            let class = SizeClass::of_limit(Some(limit));
            assert!(SizeClass::of_task(limit) <= class, "{limit}");
            assert!(SizeClass::of_task(limit + 1) > class, "{limit}");
        }
    }

    #[test]
    fn a_worker_without_a_limit_takes_everything_and_one_with_a_tiny_one_nothing() {
        assert!(SizeClass::of_task(u32::MAX) < SizeClass::of_limit(None));
        assert!(SizeClass::of_task(1) > SizeClass::of_limit(Some(63)));
    }
}
