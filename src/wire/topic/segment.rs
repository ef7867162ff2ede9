//! What stands between two slashes of a topic, or after the last: read, and written.

use crate::wire::name::{Agent, ApprovalId, Capability, Category, Key, NameError, TaskId, Tool};

use super::cut;

/// A level of a topic, or several that belong together.
pub(in crate::wire) trait TopicField: Sized {
    /// Whether it may be left out.
    const IS_OPTIONAL: bool = false;

    /// Takes it off the front of what is left; `None` if nothing is.
    fn take(rest: &mut Option<&str>) -> Option<Result<Self, NameError>>;

    /// Adds it, with the slash before it.
    fn write(&self, out: &mut String);
}

/// Lets names be levels of topics.
macro_rules! levels {
    ($($type:ty),*) => {$(
        impl $crate::wire::topic::TopicField for $type {
            fn take(rest: &mut Option<&str>) -> Option<Result<Self, $crate::wire::name::NameError>> {
                $crate::wire::topic::level(rest).map(<$type>::new)
            }

            fn write(&self, out: &mut String) {
                out.push('/');
                out.push_str(self.as_str());
            }
        }
    )*};
}
pub(in crate::wire) use levels;

/// Takes the first level off the front of what is left.
pub(in crate::wire) fn level<'a>(rest: &mut Option<&'a str>) -> Option<&'a str> {
    let (own, behind) = cut((*rest)?);
    *rest = behind;
    Some(own)
}

levels!(Agent, ApprovalId, Capability, Category, TaskId, Tool);

/// A key has slashes in it: it is all that is left.
impl TopicField for Key {
    fn take(rest: &mut Option<&str>) -> Option<Result<Self, NameError>> {
        rest.take().map(Key::new)
    }

    fn write(&self, out: &mut String) {
        out.push('/');
        out.push_str(self.as_str());
    }
}

impl<T: TopicField> TopicField for Option<T> {
    const IS_OPTIONAL: bool = true;

    fn take(rest: &mut Option<&str>) -> Option<Result<Self, NameError>> {
        match T::take(rest) {
            None => Some(Ok(None)),
            Some(taken) => Some(taken.map(Some)),
        }
    }

    fn write(&self, out: &mut String) {
        if let Some(segment) = self {
            segment.write(out);
        }
    }
}
