//! Who takes part.

use hallward::wire::name::{Agent, Capability, Room};

use super::super::agents::{
    Approver, Dispatcher, Operator, Participant, Role, Smith, Worker, Writer,
};
use super::super::dice::Dice;

/// Two rooms, and agents of every kind in one or both.
pub(super) fn populate(dice: &mut Dice) -> Vec<Participant> {
    let alpha = Room::new("alpha").expect("a name");
    let beta = Room::new("beta").expect("a name");
    let mut everybody = Vec::new();
    let mut add = |name: String, role: Role, dice: &mut Dice| {
        let everywhere = matches!(role, Role::Approver(_) | Role::Operator(_)) || dice.percent(25);
        let rooms = match dice.below(3) {
            _ if everywhere => vec![alpha.clone(), beta.clone()],
            1 => vec![beta.clone()],
            _ => vec![alpha.clone()],
        };
        let name = Agent::new(&name).expect("a name");
        everybody.push(Participant::new(name, rooms, role, dice));
    };
    for number in 0..2 + dice.below(2) {
        let role = Role::Dispatcher(Dispatcher::default());
        add(format!("dispatcher{number}"), role, dice);
    }
    for number in 0..2 + dice.below(4) {
        let role = Role::Worker(some_worker(dice));
        add(format!("worker{number}"), role, dice);
    }
    for number in 0..2 {
        let role = Role::Writer(Writer::default());
        add(format!("writer{number}"), role, dice);
    }
    // Three, so that two can agree on what the third asks.
    for number in 0..3 {
        let role = Role::Approver(Approver::default());
        add(format!("approver{number}"), role, dice);
    }
    // Three, so that two provide what may run twice.
    for (number, which) in [0, 0, 1 + dice.below(2)].into_iter().enumerate() {
        add(
            format!("smith{number}"),
            Role::Smith(Smith::new(which)),
            dice,
        );
    }
    add(
        "operator".to_owned(),
        Role::Operator(Operator::default()),
        dice,
    );
    everybody
}

fn some_worker(dice: &mut Dice) -> Worker {
    let skill = |name: &&str| Capability::new(name).expect("a name");
    let all = ["draft", "review", "publish"];
    let first = usize::try_from(dice.below(3)).expect("small");
    let mut subscribed = vec![skill(&all[first])];
    if dice.percent(60) {
        subscribed.push(skill(&all[(first + 1) % 3]));
    }
    if dice.percent(30) {
        subscribed.push(skill(&all[(first + 2) % 3]));
    }
    let announced = dice.maybe(30, |dice| vec![skill(dice.pick(&all))]);
    let capacity = dice.maybe(60, |dice| u32::try_from(dice.between(1, 3)).expect("small"));
    let max_bytes = dice.maybe(25, |dice| *dice.pick(&[288, 400]));
    let capacity = capacity.or(max_bytes.map(|_| 3));
    Worker::new(
        subscribed,
        announced.unwrap_or_default(),
        capacity,
        max_bytes,
    )
}
