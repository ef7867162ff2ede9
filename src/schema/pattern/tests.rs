//! What ECMA-262 says of patterns, as Node.js answered it.

use super::*;

#[track_caller]
fn matches(pattern: &str, text: &str) -> bool {
    begin();
    let compiled = EcmaPattern::compile(pattern).unwrap_or_else(|why| panic!("{pattern}: {why}"));
    let found = compiled.is_match(text);
    assert!(!is_used_up(), "{pattern} on {text}");
    found
}

#[test]
fn patterns_match_as_in_ecmascript() {
    for (pattern, yes, no) in [
        ("^(?!\\s*$).+", &["a", " a "][..], &["", "   "][..]),
        (
            "^(?=.*\\d)(?=.*[a-z]).{4,}$",
            &["abc1"],
            &["abcd", "1234", "a1"],
        ),
        ("(?<=\\$)\\d+", &["$42"], &["42", "$x"]),
        ("(?<!-)\\b\\d", &["1", "x 7"], &["-1"]),
        ("(?<=^\\1(\\d))x", &["11x"], &["12x"]),
        ("^(.)(.)\\2\\1$", &["abba", "aaaa"], &["abab"]),
        ("^(?<q>['\"]).*\\k<q>$", &["'a'", "\"\""], &["'a\"", "'"]),
        ("^[^]$", &["\n", "a", "😀"], &["", "ab"]),
        ("^[]$", &[], &["", "a"]),
        ("^[^]abc]$", &["xabc]"], &["x", "a"]),
        ("^(?:a|ab)(?=c)c$", &["ac", "abc"], &["abcc"]),
        ("^(a*)*$(?!x)", &["", "aaa"], &["b"]),
        ("^(?:(a)|b)*\\1$", &["ab", "aa", "", "abaa"], &["aba_"]),
        ("^(?=(a+))a*b\\1$", &["aba", "aabaa"], &["abaa", "aaba"]),
        ("^(?!.*(.).*\\1)[a-c]+$", &["abc", "ca"], &["aba"]),
        ("^.{2,3}?(?!.)$", &["ab", "abc"], &["a", "abcd"]),
        ("^\\u{1F600}\\uD83D\\uDE00(?=$)", &["😀😀"], &["😀"]),
        (
            "^[\\x41-\\x43\\cJ\\t\\-](?=$)",
            &["B", "\n", "\t", "-"],
            &["D"],
        ),
        ("^\\p{Lu}\\P{Lu}(?!.)", &["Éa", "A1"], &["ea", "AB"]),
        ("^[\\s\\S](?=$)", &["\n", "\u{feff}"], &[""]),
        (
            "^\\s(?=$)",
            &["\u{feff}", "\u{2029}", "\u{b}"],
            &["\u{85}", "\u{200b}"],
        ),
        ("^.(?=$)", &["\u{85}"], &["\n", "\r", "\u{2028}"]),
        ("^\\w\\B\\w(?!\\W)", &["ab"], &["é_", "a", "a-"]),
        ("^a{,2}(?=$)", &["a{,2}"], &["a", "aa"]),
        ("^(?=a)\\<$|^\\>", &[">"], &["a"]),
    ] {
        for text in yes {
            assert!(matches(pattern, text), "{pattern} should match {text:?}");
        }
        for text in no {
            assert!(
                !matches(pattern, text),
                "{pattern} should not match {text:?}"
            );
        }
    }
}

#[test]
fn what_is_no_pattern_is_refused() {
    for pattern in [
        "(",
        ")",
        "[",
        "a**",
        "*",
        "(?<=a)*",
        "\\",
        "(?",
        "(?i)a",
        "\\1",
        "(a)\\2",
        "\\k<x>",
        "[b-a]",
        "a{3,2}",
        "\\x1",
        "\\u{110000}",
        "\\p{Nothing}",
        "\\q",
        "\\c1",
        "^*",
    ] {
        assert!(EcmaPattern::compile(pattern).is_err(), "{pattern}");
    }
    let deep = format!("{}a{}", "(".repeat(60), ")".repeat(60));
    assert!(EcmaPattern::compile(&deep).is_err());
    assert!(
        EcmaPattern::compile("(?=((a{50}){50}){50})").is_err(),
        "too long written out"
    );
}

#[test]
fn only_what_the_linear_engine_cannot_do_comes_here() {
    for pattern in [
        "^(a|b)+$",
        "\\d{3}-\\w*",
        "[^a-z]",
        "^\\p{Lu}",
        "\\/x\\-",
        "(?:a)?b",
    ] {
        assert!(!is_ours(pattern), "{pattern}");
    }
    for pattern in ["(?=a)", "(?<!a)b", "(a)\\1", "[^]", "[]", "[^]a]"] {
        assert!(is_ours(pattern), "{pattern}");
    }
}

#[test]
fn the_flag_u_is_told() {
    for pattern in ["^\\d+\\/[\\-a]$", "(?=a)", "\\u{1F600}", "[^]", "a{2}"] {
        assert!(is_unicode_pattern(pattern), "{pattern}");
    }
    for pattern in ["^\\-$", "a{", "]", "\\_", "(?=a)*", "[\\d-z]", "("] {
        assert!(!is_unicode_pattern(pattern), "{pattern}");
    }
}

#[test]
fn steps_are_bounded_and_always_as_many() {
    for pattern in [
        "^(?=(a+)+$)b",
        "^(?:(?=(?:(?=(?:(?=(?:a)*)a)*)a)*)a)*b(?!c)",
        "(?=a*a*a*a*b)c",
        "^(a*)\\1*\\1*\\1*b",
    ] {
        let compiled = EcmaPattern::compile(pattern).unwrap();
        let text = format!("{}c", "a".repeat(5_000));
        begin();
        assert!(!compiled.is_match(&text) && is_used_up(), "{pattern}");
    }
    let compiled = EcmaPattern::compile("^(?=(a+)+$)b").unwrap();
    let taken = |text: &str| {
        begin();
        compiled.is_match(text);
        LEFT.get()
    };
    assert_eq!(taken("aaaaaaaac"), taken("aaaaaaaac"));
    assert!(taken("aaaaaaaac") < taken("aaac"));
}
