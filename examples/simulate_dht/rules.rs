//! What the policies of other programs are: their parameters, as their sources and the reference in docs/dht.md have them.

use std::time::Duration;

/// Whose rules a node follows.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Policy {
    /// `unchoke_dht::Node`.
    Unchoke,
    /// A model.
    Model(&'static Rules),
}

/// The rules of a modelled node.
#[derive(PartialEq, Eq, Debug)]
pub(crate) struct Rules {
    pub(crate) name: &'static str,
    pub(crate) table: TableRules,
    pub(crate) search: SearchRules,
    /// Nodes in a reply, nodes that a search ends at, and nodes that something is stored at.
    pub(crate) k: usize,
    /// A search that knows fewer nodes asks the routers, too.
    pub(crate) routers_below: usize,
    /// After so long a query gives its place to the next one.
    pub(crate) short: Option<Duration>,
    /// After so long it is given up.
    pub(crate) timeout: Duration,
    /// How often a node looks what has timed out; zero means at once.
    pub(crate) tick: Duration,
    /// How often the node looks after its table.
    pub(crate) upkeep: Duration,
}

/// How a table is kept.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum TableRules {
    /// The last bucket splits; the first four are 16, 8, 4 and 2 times as large; replacements wait beside each bucket. Who asks waits there, too.
    Extended,
    /// A bucket for each distance, which takes whoever has answered while there is room or the oldest is stale.
    Fixed,
    /// The last bucket splits; who has answered gets in where there is room or somebody does not answer a ping.
    Textbook,
}

/// Whom a search asks, and when it ends.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum SearchRules {
    /// So many queries under way among the nearest; ends when the `k` nearest that live have answered and none before them is waited for.
    Nearest(usize),
    /// All of the `k` nearest at once, with a ping each; ends when nothing is under way.
    AllAtOnce,
    /// So many queries under way; ends when the `k` nearest have answered.
    Textbook(usize),
}

const LIBTORRENT: Rules = Rules {
    name: "libtorrent",
    table: TableRules::Extended,
    search: SearchRules::Nearest(5),
    k: 8,
    routers_below: 3,
    short: Some(Duration::from_secs(1)),
    timeout: Duration::from_secs(15),
    tick: Duration::from_secs(1),
    upkeep: Duration::from_secs(5),
};

const MAINLINE: Rules = Rules {
    name: "mainline",
    table: TableRules::Fixed,
    search: SearchRules::AllAtOnce,
    k: 20,
    routers_below: 8,
    short: None,
    timeout: Duration::from_secs(2),
    tick: Duration::ZERO,
    upkeep: Duration::from_secs(60),
};

const BEP5: Rules = Rules {
    name: "bep5",
    table: TableRules::Textbook,
    search: SearchRules::Textbook(3),
    k: 8,
    routers_below: 1,
    short: None,
    timeout: Duration::from_secs(10),
    tick: Duration::ZERO,
    upkeep: Duration::from_secs(60),
};

impl Policy {
    pub(crate) const ALL: [Self; 4] =
        [Self::Unchoke, Self::Model(&LIBTORRENT), Self::Model(&MAINLINE), Self::Model(&BEP5)];

    /// What hostile nodes keep themselves in the network by.
    pub(crate) const HOSTILE: &'static Rules = &LIBTORRENT;

    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Unchoke => "unchoke",
            Self::Model(rules) => rules.name,
        }
    }

    pub(crate) fn named(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|policy| policy.name() == name)
    }
}
