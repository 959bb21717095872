//! What Parlor wants to reach, beside what was measured.

use crate::{
    format::{number, quantity},
    options::{Options, Store, Subject, Suite},
    results::{Load, Results, Round, Unit},
    suites::{
        compare::{self, Work},
        growth, live, pages,
        sdk::{self, Caller},
        sizes,
    },
};

/// The connections that goals are about.
const CONNECTIONS: usize = 64;

/// A goal.
pub(crate) struct Goal {
    /// What is measured.
    pub(crate) what: String,
    /// On which side of which value it is to be.
    pub(crate) bound: Bound,
    /// Of the value.
    pub(crate) unit: Unit,
    /// What was measured; none if that was not.
    pub(crate) value: Option<f64>,
}

/// A bound that still is in order.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Bound {
    /// Less is better.
    AtMost(f64),
    /// More is better.
    AtLeast(f64),
}

impl Goal {
    /// The bound, in words.
    pub(crate) fn wanted(&self) -> String {
        let (sign, bound) = match self.bound {
            Bound::AtMost(bound) => ("≤", bound),
            Bound::AtLeast(bound) => ("≥", bound),
        };
        // Bounds are round numbers.
        let text = quantity(bound, self.unit);
        let text = if self.unit == Unit::Times && bound >= 2.0 { format!("{} ×", number(bound, 0)) } else { text };
        format!("{sign} {text}")
    }

    /// Whether it is met; none if that was not measured.
    pub(crate) fn is_met(&self) -> Option<bool> {
        self.value.map(|value| match self.bound {
            Bound::AtMost(bound) => value <= bound,
            Bound::AtLeast(bound) => value >= bound,
        })
    }
}

/// All goals, in the order of the report.
pub(crate) fn all(results: &Results) -> Vec<Goal> {
    let mut goals = Goals { results, goals: Vec::new() };
    goals.of_comparison();
    goals.of_the_rest();
    goals.of_growth();
    goals.goals
}

struct Goals<'a> {
    results: &'a Results,
    goals: Vec<Goal>,
}

impl Goals<'_> {
    fn add(&mut self, what: impl Into<String>, bound: Bound, unit: Unit, value: Option<f64>) {
        self.goals.push(Goal { what: what.into(), bound, unit, value });
    }

    fn load(&self, store: Store, work: Work, connections: usize, subject: Subject) -> Option<&Load> {
        self.results.load(&Suite::Compare.name(), &compare::key(store, work, connections, subject))
    }

    fn parlor(&self, store: Store, work: Work, member: impl Fn(&Round) -> f64) -> Option<f64> {
        Some(self.load(store, work, CONNECTIONS, Subject::Parlor)?.median(member))
    }

    /// How often Parlor does what axum and sqlx do once.
    fn times(&self, store: Store, work: Work) -> Option<f64> {
        let parlor = self.load(store, work, CONNECTIONS, Subject::Parlor)?;
        Some(parlor.through(self.load(store, work, CONNECTIONS, Subject::Axum)?, |round| round.rate))
    }

    fn of_comparison(&mut self) {
        use Bound::{AtLeast, AtMost};
        use Store::{Postgres, Sqlite};
        use Unit::{Micros, Times};
        let value = self.times(Sqlite, Work::Create);
        self.add("create_chat on SQLite, beside axum + sqlx", AtLeast(12.0), Times, value);
        let value = self.parlor(Sqlite, Work::Create, |round| round.p99_us);
        self.add("  its p99", AtMost(10_000.0), Micros, value);
        let value = self.parlor(Sqlite, Work::Create, |round| round.server_cpu_us);
        self.add("  its processor time", AtMost(45.0), Micros, value);
        let alone = |subject| self.load(Sqlite, Work::Create, 1, subject);
        let value =
            alone(Subject::Parlor).and_then(|parlor| Some(parlor.through(alone(Subject::Axum)?, |round| round.p50_us)));
        self.add("create_chat on one connection, p50 beside axum + sqlx", AtMost(1.3), Times, value);
        let value = self.times(Sqlite, Work::Send);
        self.add("send_message on SQLite, beside axum + sqlx", AtLeast(8.0), Times, value);
        let value = self.times(Sqlite, Work::Speak);
        self.add("  the same by WebSocket", AtLeast(8.0), Times, value);
        let parlor = |work| self.load(Sqlite, work, CONNECTIONS, Subject::Parlor);
        let value = parlor(Work::Get).and_then(|get| Some(get.through(parlor(Work::Health)?, |round| round.rate)));
        self.add("get_chat on SQLite, beside /healthz", AtLeast(0.6), Times, value);
        let value = self.times(Postgres, Work::Create);
        self.add("create_chat on PostgreSQL, beside axum + sqlx", AtLeast(4.0), Times, value);
        let value = self.parlor(Postgres, Work::Create, |round| round.p99_us);
        self.add("  its p99", AtMost(6_000.0), Micros, value);
    }

    fn of_the_rest(&mut self) {
        use Bound::{AtLeast, AtMost};
        use Unit::{Bytes, Count, Micros, PerSecond, Times};
        let sdk = |caller| self.results.load(&Suite::Sdk.name(), &sdk::key(caller, CONNECTIONS));
        let value = sdk(Caller::Sdk).and_then(|ours| Some(ours.through(sdk(Caller::Bare)?, |round| round.rate)));
        self.add("create_chat by the SDK, beside reqwest alone", AtLeast(0.9), Times, value);
        for (what, bound, unit, id) in [
            ("Memory of an idle live connection", AtMost(8_192.0), Bytes, live::IDLE),
            ("Deliveries of 1 to 1,000", AtLeast(600_000.0), PerSecond, live::DELIVERIES),
            ("One message at a time, until all have it, p99", AtMost(20_000.0), Micros, live::ALL_HAVE_P99),
            ("The last page through the first", AtMost(1.5), Times, pages::DEEP),
            ("The SDK's memory while it streams, end through beginning", AtMost(1.2), Times, pages::STREAM_GROWTH),
            ("Start to the first answer", AtMost(150_000.0), Micros, sizes::START),
            ("Release binary", AtMost(25_000_000.0), Bytes, sizes::BINARY),
            ("Crates of the SDK", AtMost(93.0), Count, sizes::CRATES),
            ("  with live sessions", AtMost(110.0), Count, sizes::REALTIME_CRATES),
        ] {
            self.add(what, bound, unit, self.results.value(id));
        }
    }

    fn of_growth(&mut self) {
        let value = self.results.value(growth::MEMORY);
        self.add("Memory after many creates, through that after few", Bound::AtMost(1.2), Unit::Times, value);
        for work in growth::WORKS {
            let of = |many| self.results.load(&Suite::Growth.name(), &growth::key(work, many));
            let ratio = |member: fn(&Round) -> f64| Some(of(true)?.through(of(false)?, member));
            let value = ratio(|round| round.p50_us).and_then(|p50| Some(p50.max(ratio(|round| round.server_cpu_us)?)));
            let what = format!("{} with many chats, p50 or CPU, through that with few", work.name());
            self.add(what, Bound::AtMost(1.5), Unit::Times, value);
        }
    }
}

/// `case` of the loads that goals are about.
pub(crate) fn case() -> String {
    Options::connections(CONNECTIONS)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::results::SuiteResults;

    #[test]
    fn what_was_not_measured_is_neither_met_nor_missed() {
        assert!(all(&Results::default()).iter().all(|goal| goal.value.is_none() && goal.is_met().is_none()));
    }

    #[test]
    fn a_goal_knows_its_side() {
        let mut results = Results::default();
        let suite = results.suites.entry(Suite::Live.name()).or_insert_with(SuiteResults::default);
        suite.figure(live::IDLE, "", Unit::Bytes, 8_192.0);
        suite.figure(live::DELIVERIES, "", Unit::PerSecond, 599_999.0);
        let goals = all(&results);
        let goal = |start: &str| goals.iter().find(|goal| goal.what.starts_with(start)).unwrap();
        assert_eq!(goal("Memory of an idle").is_met(), Some(true));
        assert_eq!(goal("Deliveries").is_met(), Some(false));
        assert_eq!(goal("Deliveries").wanted(), "≥ 600,000/s");
        assert_eq!(goal("create_chat on SQLite").wanted(), "≥ 12 ×");
        assert_eq!(goal("create_chat on one").wanted(), "≤ 1.30 ×");
    }
}
