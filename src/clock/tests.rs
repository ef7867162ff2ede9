//! Starts after every kind of break.

use super::*;

const DAY: u64 = 86_400_000;
const WALL: Millis = 1_800_000_000_000;

#[derive(Debug, Clone)]
struct Fake {
    wall: Millis,
    running: u64,
    boot: Option<&'static str>,
}

impl Source for Fake {
    fn wall(&self) -> Millis {
        self.wall
    }

    fn running(&self) -> u64 {
        self.running
    }

    fn boot(&self) -> Option<String> {
        self.boot.map(str::to_owned)
    }
}

fn fake(wall: Millis, running: u64, boot: &'static str) -> Fake {
    Fake {
        wall,
        running,
        boot: Some(boot),
    }
}

fn mark(clock: &Clock<Fake>) -> Mark {
    Mark {
        at: clock.now(),
        reading: clock.reading(),
    }
}

fn first() -> Clock<Fake> {
    let (clock, gap) = Clock::start(fake(WALL, 5_000, "one"), None, 0, 4 * DAY);
    assert_eq!(gap, Gap::First);
    clock
}

#[test]
fn it_begins_as_the_wall_clock_and_goes_on_as_the_machine_counts() {
    let mut clock = first();
    assert_eq!((clock.now(), clock.ahead()), (WALL, 0));
    clock.source.running += 7;
    clock.source.wall += 7;
    assert_eq!((clock.now(), clock.ahead()), (WALL + 7, 0));
    // Somebody sets the clock.
    clock.source.wall -= 120_000;
    assert_eq!((clock.now(), clock.ahead()), (WALL + 7, -120_000));
    clock.source.wall = 0;
    assert_eq!(clock.now(), WALL + 7);
    assert_eq!(clock.ahead(), -i64::try_from(WALL + 7).unwrap());
}

#[test]
fn what_is_known_to_have_happened_is_not_ahead_of_it() {
    let (clock, _) = Clock::start(fake(1_000, 5_000, "one"), None, WALL, 4 * DAY);
    assert_eq!(clock.now(), WALL);
}

#[test]
fn a_machine_that_has_not_been_started_since_knows_how_long_it_was() {
    let mark = mark(&first());
    for wall in [0, WALL - DAY, WALL + 60_000, WALL + 400 * DAY] {
        let (clock, gap) = Clock::start(fake(wall, 65_000, "one"), Some(&mark), 0, 4 * DAY);
        assert_eq!(gap, Gap::Counted { down: 60_000 });
        assert_eq!(clock.now(), WALL + 60_000);
    }
}

#[test]
fn after_a_start_of_the_machine_the_wall_clock_counts_where_it_is_plausible() {
    let mark = mark(&first());
    let cases = [
        (WALL + 60_000, Gap::ByWallClock { down: 60_000 }),
        (WALL + 4 * DAY, Gap::ByWallClock { down: 4 * DAY }),
        (WALL - 900, Gap::ByWallClock { down: 0 }),
        (
            WALL + 5 * DAY,
            Gap::Implausible {
                says: 5 * DAY as i64,
                down: 4 * DAY,
            },
        ),
        (
            WALL - DAY,
            Gap::Implausible {
                says: -(DAY as i64),
                down: 0,
            },
        ),
    ];
    for (wall, expected) in cases {
        let (clock, gap) = Clock::start(fake(wall, 300, "two"), Some(&mark), 0, 4 * DAY);
        assert_eq!(gap, expected);
        assert_eq!(clock.now(), WALL + expected.down());
        assert_eq!(clock.ahead(), difference(wall, clock.now()));
    }
}

#[test]
fn a_machine_that_was_put_back_is_no_evidence() {
    let mark = mark(&first());
    let (_, gap) = Clock::start(fake(WALL + 9_000, 4_000, "one"), Some(&mark), 0, 4 * DAY);
    assert_eq!(gap, Gap::ByWallClock { down: 9_000 });
    let unknown = Fake {
        boot: None,
        ..fake(WALL + 9_000, 65_000, "one")
    };
    let (_, gap) = Clock::start(unknown, Some(&mark), 0, 4 * DAY);
    assert_eq!(gap, Gap::ByWallClock { down: 9_000 });
}

#[test]
fn the_systems_clocks_go_forward() {
    let (clock, _) = Clock::start(System::new(), None, 0, DAY);
    let before = clock.now();
    assert!(before > 1_600_000_000_000);
    assert!(clock.now() >= before);
    assert!(clock.ahead().unsigned_abs() < LEAST_STEP_MS);
}
