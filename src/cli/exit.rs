//! How a command ends.

/// How a command ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Exit {
    /// Everything went well.
    Fine,
    /// It failed.
    Failed,
    /// It was called wrongly, or a file is bad; nothing was changed.
    Usage,
    /// A safety invariant broke.
    Safety,
    /// A liveness bound broke.
    Liveness,
    /// A real cluster has no quorum at present.
    NoQuorum,
    /// Ctrl-C; of what was under way nothing was changed.
    Interrupted,
}

impl Exit {
    /// The exit code.
    pub const fn code(self) -> u8 {
        match self {
            Exit::Fine => 0,
            Exit::Failed => 1,
            Exit::Usage => 2,
            Exit::Safety => 3,
            Exit::Liveness => 4,
            Exit::NoQuorum => 5,
            Exit::Interrupted => 130,
        }
    }

    /// The graver of two: broken safety, broken liveness, no quorum, failure, none.
    #[must_use]
    pub fn graver(self, other: Exit) -> Exit {
        let rank = |exit: Exit| match exit {
            Exit::Fine => 0,
            Exit::Failed => 1,
            Exit::NoQuorum => 2,
            Exit::Liveness => 3,
            Exit::Safety => 4,
            Exit::Usage => 5,
            Exit::Interrupted => 6,
        };
        if rank(other) > rank(self) { other } else { self }
    }
}
