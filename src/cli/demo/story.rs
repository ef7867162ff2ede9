//! The work itself: what each capability makes of what it is given.
//!
//! No language model takes part. Research finds notes in a small library, a draft makes a page of
//! notes, a review makes an article of pages and corrects what it finds. Workers call it; it knows
//! nothing of MQTT.

use serde::{Deserialize, Serialize};

/// The story's title.
pub(super) const TITLE: &str = "Agents at the edge";
/// Where it is published: an ordinary retained topic, outside of every room.
pub(super) const TOPIC: &str = "news/agents-at-the-edge";
/// What is looked up for it.
pub(super) const SUBJECTS: [&str; 2] = ["Brokers", "Agents"];

/// What the library says, written down in haste.
const LIBRARY: [(&str, [&str; 3]); 2] = [
    (
        SUBJECTS[0],
        [
            "a broker carries messages between programs that need not know each other",
            "it runs where the machines are, also while the line to the outside is down",
            "what it has acknowledged it must not forget, whatever happens to its power",
        ],
    ),
    (
        SUBJECTS[1],
        [
            "an agent is a program that takes work, does it and says what came of it",
            "agents fail, so work is lent to them and goes to another if they fall silent",
            "before something happens that cannot be undone, they ask a person",
        ],
    ),
];

/// What to look up.
#[derive(Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Subject {
    pub(super) title: String,
}

/// What was found.
#[derive(Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Notes {
    pub(super) title: String,
    pub(super) notes: Vec<String>,
}

/// A part of the story.
#[derive(Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Page {
    pub(super) title: String,
    pub(super) text: String,
}

/// The whole story, as it may be published.
#[derive(Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Article {
    pub(super) title: String,
    pub(super) text: String,
    /// How many words it has.
    pub(super) words: usize,
    /// How many mistakes were put right.
    pub(super) corrections: usize,
}

/// Where the story is now.
#[derive(Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Published {
    pub(super) title: String,
    pub(super) topic: String,
}

/// Looks a subject up; says so where the library has nothing on it.
pub(super) fn research(subject: &Subject) -> Result<Notes, String> {
    let found = LIBRARY.iter().find(|(title, _)| *title == subject.title);
    let (title, notes) =
        found.ok_or_else(|| format!("the library has nothing on {:?}", subject.title))?;
    Ok(Notes {
        title: (*title).to_owned(),
        notes: notes.iter().map(|note| (*note).to_owned()).collect(),
    })
}

/// Makes a page of notes.
pub(super) fn draft(notes: &Notes) -> Page {
    Page {
        title: notes.title.clone(),
        text: notes.notes.join(". "),
    }
}

/// Makes an article of pages: sentences begin with a capital and end with a full stop.
pub(super) fn review(pages: &[Page]) -> Article {
    let mut corrections = 0;
    let reviewed: Vec<String> = pages
        .iter()
        .map(|page| correct(&page.text, &mut corrections))
        .collect();
    let text = reviewed.join("\n\n");
    Article {
        title: TITLE.to_owned(),
        words: text.split_whitespace().count(),
        text,
        corrections,
    }
}

fn correct(text: &str, corrections: &mut usize) -> String {
    let mut sentences = Vec::new();
    for sentence in text.trim_end_matches('.').split(". ") {
        let mut letters = sentence.chars();
        let Some(first) = letters.next() else {
            continue;
        };
        *corrections += usize::from(first.is_lowercase());
        sentences.push(format!("{}{}", first.to_uppercase(), letters.as_str()));
    }
    *corrections += usize::from(!text.ends_with('.'));
    sentences.join(". ") + "."
}

#[cfg(test)]
mod tests {
    use super::*;

    fn page(text: &str) -> Page {
        Page {
            title: "Tides".to_owned(),
            text: text.to_owned(),
        }
    }

    #[test]
    fn every_subject_of_the_story_is_in_the_library_and_nothing_else() {
        for title in SUBJECTS {
            let title = title.to_owned();
            assert!(research(&Subject { title }).is_ok());
        }
        let title = "Tides".to_owned();
        let missing = research(&Subject { title }).expect_err("nothing on it");
        assert!(missing.contains("Tides"), "{missing}");
    }

    #[test]
    fn a_review_corrects_what_is_wrong_and_nothing_else() {
        let article = review(&[page("water rises. It falls"), page("The moon pulls.")]);
        assert_eq!(article.text, "Water rises. It falls.\n\nThe moon pulls.");
        assert_eq!((article.words, article.corrections), (7, 2));
    }

    #[test]
    fn a_draft_has_every_note() {
        let notes = Notes {
            title: "Tides".to_owned(),
            notes: vec!["water rises".to_owned(), "it falls".to_owned()],
        };
        assert_eq!(draft(&notes), page("water rises. it falls"));
    }
}
