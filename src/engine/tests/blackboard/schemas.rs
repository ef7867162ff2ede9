//! Schemas: values below a prefix look as they must, however they are written.

use crate::engine::KeySchemas;
use crate::schema::Schema;
use crate::wire::name::Key;

use super::*;

fn schemas(list: &[(&str, Value)]) -> KeySchemas {
    let compile = |(prefix, schema): &(&str, Value)| {
        let schema = Schema::compile(&schema.to_string()).unwrap();
        (Key::new(prefix).unwrap(), None, schema)
    };
    list.iter().map(compile).collect()
}

fn plan() -> Value {
    json!({
        "type": "object",
        "required": ["title"],
        "properties": { "words": { "type": "integer", "minimum": 0 } },
    })
}

fn world() -> World {
    World::with(Settings::tuned(|settings| {
        settings.key_schemas = schemas(&[("plan", plan()), ("plan/raw", json!(true))])
    }))
}

#[test]
fn a_value_that_its_schema_does_not_allow_is_refused_with_its_place() {
    let mut world = world();
    for key in ["plan", "plan/a", "plan/a/b"] {
        let wrong = json!({ "value": { "title": "x", "words": -1 } });
        assert_eq!(set(&mut world, key, wrong), Err(Code::Invalid), "{key}");
        assert_eq!(world.last_reply("a").path.as_deref(), Some("value/words"));
    }
    assert_eq!(
        set(&mut world, "plan", json!({ "value": 1 })),
        Err(Code::Invalid)
    );
    assert_eq!(world.last_reply("a").path.as_deref(), Some("value"));
    set(
        &mut world,
        "plan/a",
        json!({ "value": { "title": "x", "words": 3 } }),
    )
    .unwrap();
    for free in ["planning", "other", "plan/raw", "plan/raw/x"] {
        set(&mut world, free, json!({ "value": 1 })).unwrap();
    }
    world.check();
}

#[test]
fn it_is_the_outcome_of_a_merge_that_counts_and_a_transaction_names_the_operation() {
    let mut world = world();
    let partial = json!({ "value": { "words": 3 }, "merge": true });
    assert_eq!(set(&mut world, "plan", partial.clone()), Err(Code::Invalid));
    set(&mut world, "plan", json!({ "value": { "title": "x" } })).unwrap();
    set(&mut world, "plan", partial).unwrap();
    let ops = json!([
        { "op": "set", "key": "other", "value": 1 },
        { "op": "set", "key": "plan", "value": { "title": null }, "merge": true },
    ]);
    assert_eq!(
        world.send("a", "blackboard/txn", json!({ "ops": ops })),
        Err(Code::Invalid)
    );
    assert_eq!(world.last_reply("a").path.as_deref(), Some("ops[1].value"));
    assert_eq!(version(&world, "other"), None);
    delete(&mut world, "plan", json!({})).unwrap();
}

#[test]
fn other_schemas_hold_from_then_on_and_leave_what_stands() {
    let mut world = world();
    set(&mut world, "free", json!({ "value": 1 })).unwrap();
    let other = schemas(&[("free", json!({ "type": "string" }))]);
    world.reconfigure(|settings| settings.key_schemas = other);
    assert_eq!(
        set(&mut world, "free", json!({ "value": 2 })),
        Err(Code::Invalid)
    );
    set(&mut world, "plan", json!({ "value": 2 })).unwrap();
    assert_eq!(version(&world, "free"), Some(1));
}

#[test]
fn schemas_hold_in_rooms_with_settings_of_their_own_too() {
    let mut world = World::with(Settings::tuned(|settings| {
        settings.key_schemas = schemas(&[("plan", plan())]);
        settings.rooms.room = [(Room::new("r").unwrap(), RoomConfig::default())].into();
    }));
    let wrong = || json!({ "value": 1 });
    assert_eq!(set(&mut world, "plan", wrong()), Err(Code::Invalid));
    let other = schemas(&[("draft", plan())]);
    world.reconfigure(|settings| settings.key_schemas = other);
    assert_eq!(set(&mut world, "plan", wrong()), Ok(()));
    assert_eq!(set(&mut world, "draft", wrong()), Err(Code::Invalid));
    world.check();
}

#[test]
fn a_room_may_have_schemas_of_its_own() {
    let of = |room: Option<&str>, prefix: &str, schema: Value| {
        let schema = Schema::compile(&schema.to_string()).unwrap();
        let room = room.map(|name| Room::new(name).unwrap());
        (Key::new(prefix).unwrap(), room, schema)
    };
    let list = [
        of(None, "plan", plan()),
        of(Some("r"), "plan", json!({ "type": "string" })),
        of(Some("other"), "plan/a", json!(false)),
    ];
    let mut world = World::with(Settings::tuned(|settings| {
        settings.key_schemas = list.into_iter().collect()
    }));
    for key in ["plan", "plan/a"] {
        set(&mut world, key, json!({ "value": "text" })).unwrap();
        let elsewhere = json!({ "value": { "title": "x" } });
        assert_eq!(set(&mut world, key, elsewhere), Err(Code::Invalid), "{key}");
    }
    assert_eq!(world.settings.key_schemas.len(), 3);
}
