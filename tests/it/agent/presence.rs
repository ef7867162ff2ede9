//! Who is in the room.

use hallward::agent::PresenceUpdate;
use hallward::wire::presence::{Announcement, PresenceList};

use super::{ALL, Stage, until, within};

#[tokio::test(flavor = "multi_thread")]
async fn agents_are_seen_as_they_come_and_go_however_it_is_spoken() {
    let mut stage = Stage::set().await;
    let door = stage.room("door").await;
    let mut seen = door.presence().watch().await.expect("a watch");
    for (number, speech) in ALL.into_iter().enumerate() {
        stage.speech = speech;
        let name = format!("wanda-{number}");
        let agent = stage.agent(&name).await;
        let room = agent.join("lab").await.expect("joined");
        let announcement = Announcement {
            role: Some("writer".to_owned()),
            ..Announcement::default()
        };
        within(room.presence().announce(announcement))
            .await
            .expect("announced");
        let is_her = |update: &PresenceUpdate| match update {
            PresenceUpdate::Here(presence) => {
                presence.agent.as_str() == name && presence.role.as_deref() == Some("writer")
            }
            _ => false,
        };
        until(&mut seen, is_her).await;
        let writers = PresenceList {
            role: Some("writer".to_owned()),
            ..PresenceList::default()
        };
        let roll = door.presence().list(writers).await.expect("asked");
        assert_eq!(roll.agents.len(), 1, "{speech:?}");
        let everybody = door.presence().agents().await.expect("asked");
        assert!(
            everybody
                .iter()
                .any(|presence| presence.agent.as_str() == name)
        );
        agent.close().await;
        let is_gone = |update: &PresenceUpdate| matches!(update, PresenceUpdate::Left(agent) if agent.as_str() == name);
        until(&mut seen, is_gone).await;
    }
}
