//! Cards of tools, as clients of MCP take them.

use super::*;

#[test]
fn cards_are_as_clients_of_mcp_take_them() {
    let mut world = World::new();
    world.connect("p1");
    let register = |world: &mut World, field: &str, value: &Value| {
        let mut tool = spell();
        tool[field] = value.clone();
        world.send("p1", "tools/register/spell", tool)
    };
    for (field, value, path) in [
        ("outputSchema", json!({ "type": "array" }), "outputSchema"),
        (
            "outputSchema",
            json!({ "type": ["object"] }),
            "outputSchema",
        ),
        ("outputSchema", json!(true), "outputSchema"),
        ("outputSchema", Value::Null, "outputSchema"),
        (
            "outputSchema",
            json!({ "properties": { "a": {}, "b": true } }),
            "outputSchema.properties.b",
        ),
        (
            "inputSchema",
            json!({ "properties": { "a": false } }),
            "inputSchema.properties.a",
        ),
        (
            "outputSchema",
            json!({ "properties": { "a": { "pattern": "^\\-$" } } }),
            "outputSchema",
        ),
        ("annotations", json!("safe"), "annotations"),
        ("annotations", json!([]), "annotations"),
        ("annotations", Value::Null, "annotations"),
        ("annotations", json!({ "title": 1 }), "annotations.title"),
        (
            "annotations",
            json!({ "readOnlyHint": "yes" }),
            "annotations.readOnlyHint",
        ),
        (
            "annotations",
            json!({ "openWorldHint": null }),
            "annotations.openWorldHint",
        ),
    ] {
        assert_eq!(
            register(&mut world, field, &value),
            Err(Code::Invalid),
            "{value}"
        );
        let reply = world.last_reply("p1");
        assert_eq!(reply.path.as_deref(), Some(path), "{reply:?}");
    }
    let hints = json!({ "title": "t", "destructiveHint": false, "own": [1] });
    register(&mut world, "annotations", &hints).unwrap();
    register(
        &mut world,
        "outputSchema",
        &json!({ "properties": { "a": {} } }),
    )
    .unwrap();
    let card: Value = parse(&world.retained["rooms/r/tools/card/spell"]);
    let shown = json!({ "type": "object", "properties": { "a": {} } });
    assert_eq!(card["outputSchema"], shown);
}

#[test]
fn arguments_are_an_object_and_the_card_says_so() {
    let mut world = World::new();
    world.connect("p1");
    world.subscribe("p1", "rooms/r/tools/run/t").unwrap();
    let register = |world: &mut World, schema: Value| {
        let tool = json!({ "description": "d", "inputSchema": schema });
        world.send("p1", "tools/register/t", tool)
    };
    for schema in [
        json!(true),
        json!({ "type": "array" }),
        json!({ "type": ["object", "null"] }),
    ] {
        assert_eq!(register(&mut world, schema), Err(Code::Invalid));
        let reply = world.last_reply("p1");
        assert_eq!(reply.path.as_deref(), Some("inputSchema"), "{reply:?}");
    }
    for (schema, shown) in [
        (json!({}), json!({ "type": "object" })),
        (
            json!({ "required": ["x"] }),
            json!({ "type": "object", "required": ["x"] }),
        ),
    ] {
        register(&mut world, schema).unwrap();
        let card: Value = parse(&world.retained["rooms/r/tools/card/t"]);
        assert_eq!(card["inputSchema"], shown);
    }
    let list = json!({ "arguments": [1] });
    assert_eq!(world.send("ann", "tools/call/t", list), Err(Code::Invalid));
}
