//! Settings that choose among words. Each is an enum of its own, so that the code which acts on one cannot
//! forget a case. The words stand in Redis's order, which its error texts list them in.

/// The words of a choice and the number each stands for. Several words may stand for one number; the first
/// of them is the one that is shown.
pub type Words = &'static [(&'static str, i64)];

macro_rules! choices {
    ($( $(#[$doc:meta])* $name:ident { $first:ident = $first_word:literal
        $(, $variant:ident = $word:literal)* $(,)? $(; $($alias:literal => $target:ident),*)? } )*) => { $(
        $(#[$doc])*
        #[derive(Debug, Clone, Copy, PartialEq, Eq)]
        #[repr(u8)]
        pub enum $name {
            #[doc = concat!("`", $first_word, "`")]
            $first,
            $( #[doc = concat!("`", $word, "`")] $variant, )*
        }

        impl $name {
            /// The words, and the number each is stored as.
            pub(super) const WORDS: Words = &[
                ($first_word, Self::$first as i64),
                $( ($word, Self::$variant as i64), )*
                $( $( ($alias, Self::$target as i64), )* )?
            ];

            /// The choice that is stored as `number`.
            pub(super) fn from_number(number: i64) -> Self {
                $( if number == Self::$variant as i64 { return Self::$variant; } )*
                debug_assert_eq!(number, Self::$first as i64, "only numbers of WORDS are ever stored");
                Self::$first
            }
        }
    )* };
}

choices! {
    /// How much is logged.
    LogLevel { Debug = "debug", Verbose = "verbose", Notice = "notice", Warning = "warning", Nothing = "nothing" }
    /// What makes room when `maxmemory` is reached.
    EvictionPolicy {
        VolatileLru = "volatile-lru", VolatileLfu = "volatile-lfu", VolatileRandom = "volatile-random",
        VolatileTtl = "volatile-ttl", AllkeysLru = "allkeys-lru", AllkeysLfu = "allkeys-lfu",
        AllkeysRandom = "allkeys-random", NoEviction = "noeviction",
    }
    /// When the append-only file is forced to disk.
    AppendFsync { EverySecond = "everysec", Always = "always", No = "no" }
    /// Which service manager to report to.
    Supervised { Upstart = "upstart", Systemd = "systemd", Auto = "auto", No = "no" }
    /// Which syslog facility log lines go to.
    SyslogFacility {
        User = "user", Local0 = "local0", Local1 = "local1", Local2 = "local2", Local3 = "local3",
        Local4 = "local4", Local5 = "local5", Local6 = "local6", Local7 = "local7",
    }
    /// How a replica loads a snapshot from the link.
    DisklessLoad {
        Disabled = "disabled", OnEmptyDb = "on-empty-db", SwapDb = "swapdb",
        FlushBeforeLoad = "flush-before-load",
    }
    /// Whether TLS clients must show a certificate.
    TlsClientAuth { No = "no", Yes = "yes", Optional = "optional" }
    /// How the kernel's out-of-memory score is adjusted.
    OomScoreAdjust { No = "no", Yes = "yes", Absolute = "absolute"; "relative" => Yes }
    /// Which channels a new user may use.
    PubsubDefault { AllChannels = "allchannels", ResetChannels = "resetchannels" }
    /// Whose serialized values are checked in full.
    SanitizePayload { No = "no", Yes = "yes", Clients = "clients" }
    /// Who may do something dangerous.
    ProtectedAction { No = "no", Yes = "yes", Local = "local" }
    /// How cluster nodes are named to clients.
    EndpointType { Ip = "ip", Hostname = "hostname", Unknown = "unknown-endpoint" }
    /// What a replica does when a command from its master fails.
    PropagationError { Ignore = "ignore", Panic = "panic", PanicOnReplicas = "panic-on-replicas" }
    /// The form of log lines.
    LogFormat { Legacy = "legacy", Logfmt = "logfmt" }
    /// The form of time stamps in log lines.
    LogTimestamp { Legacy = "legacy", Iso8601 = "iso8601", Milliseconds = "milliseconds" }
}

/// How SHUTDOWN behaves when a signal asks for it: a set of these bits, none of them for `default`.
pub mod shutdown {
    use super::Words;

    /// Save even without save points.
    pub const SAVE: u8 = 1;
    /// Do not save.
    pub const NOSAVE: u8 = 2;
    /// Do not wait for replicas.
    pub const NOW: u8 = 4;
    /// Ignore errors that would prevent it.
    pub const FORCE: u8 = 8;

    /// The words of the two directives.
    pub(in crate::config) const WORDS: Words = &[
        ("default", 0),
        ("save", SAVE as i64),
        ("nosave", NOSAVE as i64),
        ("now", NOW as i64),
        ("force", FORCE as i64),
    ];
}

/// The number of `word`, whatever its case.
pub(super) fn number_of(words: Words, word: &[u8]) -> Option<i64> {
    words.iter().find(|(known, _)| known.as_bytes().eq_ignore_ascii_case(word)).map(|(_, number)| *number)
}

/// The words for `number`: one for a choice, one for each bit of a set.
pub(super) fn words_of(words: Words, number: i64) -> String {
    if let Some((word, _)) = words.iter().find(|(_, known)| *known == number) {
        return (*word).to_owned();
    }
    let bits = words.iter().filter(|(_, bit)| number & bit != 0).map(|(word, _)| *word);
    bits.collect::<Vec<_>>().join(" ")
}

/// Redis's complaint about a word that is none of `words`.
pub(super) fn must_be_one_of(words: Words) -> String {
    let list = words.iter().map(|(word, _)| *word).collect::<Vec<_>>().join(", ");
    format!("argument(s) must be one of the following: {list}")
}

impl ProtectedAction {
    /// Whether a client may do it.
    pub fn allows(self, is_local: bool) -> bool {
        match self {
            Self::No => false,
            Self::Yes => true,
            Self::Local => is_local,
        }
    }
}
