//! What the simulation shows, for the docs of the module.

use std::fmt::{Display, Write};
use std::thread;
use std::time::Duration;

use super::simulation::{ALL, Change, Limit, PHASE, Run, Scenario, Verdict, share};

/// The seeds of the runs.
pub(crate) const SEEDS: [u64; 3] = [1, 2, 3];

/// The outcome of one server's pipelines.
pub(crate) struct Row {
    pub(crate) scenario: Scenario,

    /// With the default policy, for each seed.
    pub(crate) vegas: Vec<[Verdict; 3]>,

    /// With the other policies, for the first seed.
    pub(crate) gradient: [Verdict; 3],
    pub(crate) aimd: [Verdict; 3],

    /// The first run with the default policy.
    pub(crate) run: Run,
}

/// The outcome of two pipelines on one server.
pub(crate) struct Shares {
    pub(crate) scenario: Scenario,

    /// The shares of the server that they got, for each seed.
    pub(crate) shares: Vec<[f64; 2]>,
}

pub(crate) struct Report {
    pub(crate) rows: Vec<Row>,
    pub(crate) shares: Vec<Shares>,
}

impl Report {
    /// Runs everything.
    pub(crate) fn new() -> Self {
        thread::scope(|scope| {
            // The largest first, as they take the longest.
            let largest = |knee: &usize| usize::MAX - knee;
            let mut order: Vec<usize> = (0..ALL.len()).collect();
            order.sort_by_key(|index| largest(&ALL[*index].knee));
            let (one, other): (Vec<usize>, Vec<usize>) =
                order.iter().partition(|index| *index % 2 == 0);
            let rows = [one, other].map(|half| {
                scope.spawn(|| {
                    half.into_iter().map(|index| (index, Row::new(&ALL[index]))).collect::<Vec<_>>()
                })
            });
            let shares = ALL[..3].iter().map(Shares::new).collect();
            let rows = rows.map(|half| half.join().expect("no run panics"));
            let mut rows: Vec<(usize, Row)> = rows.into_iter().flatten().collect();
            rows.sort_by_key(|(index, _)| *index);
            Self { rows: rows.into_iter().map(|(_, row)| row).collect(), shares }
        })
    }

    /// The tables, in Markdown.
    pub(crate) fn tables(&self) -> String {
        let mut text = String::new();
        text += "| server | throughput | median latency | settled after |\n";
        text += "| --- | --- | --- | --- |\n";
        for row in &self.rows {
            let three = |of: &dyn Fn(&Verdict) -> String| {
                let worst = [0, 1, 2].map(|phase| row.worst(phase));
                worst.iter().map(of).collect::<Vec<_>>().join(", ")
            };
            line(
                &mut text,
                [
                    &row.scenario,
                    &three(&|verdict| percent(verdict.throughput)),
                    &three(&|verdict| format!("{:.2}", verdict.latency)),
                    &three(&|verdict| millis(verdict.settled)),
                ],
            );
        }
        text += "\nTwo pipelines, each with a limit of its own, share a server for half a minute. One starts two seconds after the \
                 other. The numbers are what the smaller user got, relative to half of the server:\n\n";
        text += "| server | in three runs | in all together | throughput |\n";
        text += "| --- | --- | --- | --- |\n";
        for shares in &self.shares {
            let each = shares.shares.iter().map(|both| format!("{:.2}", smaller(*both)));
            line(
                &mut text,
                [
                    &format!("{} workers", shares.scenario.knee),
                    &each.collect::<Vec<_>>().join(", "),
                    &format!("{:.2}", smaller(shares.total())),
                    &percent(shares.throughput()),
                ],
            );
        }
        text += "\nThe policies, throughput and median latency, each in the worst of the three times:\n\n";
        text += "| server | `Vegas` | `Gradient` | `Aimd` |\n";
        text += "| --- | --- | --- | --- |\n";
        for row in &self.rows {
            let worst = |verdicts: &[Verdict; 3]| {
                let all = verdicts.iter();
                let throughput = all.clone().map(|verdict| verdict.throughput).fold(1.0, f64::min);
                let latency = all.map(|verdict| verdict.latency).fold(0.0, f64::max);
                format!("{}, {latency:.2}", percent(throughput))
            };
            let policies = [&row.vegas[0], &row.gradient, &row.aimd].map(worst);
            line(
                &mut text,
                [&row.scenario as &dyn Display, &policies[0], &policies[1], &policies[2]],
            );
        }
        text
    }

    /// The limits of the default policy over time, as a picture.
    pub(crate) fn picture(&self) -> String {
        super::plot::picture(&self.rows[..3])
    }
}

impl Row {
    fn new(scenario: &Scenario) -> Self {
        let best = SEEDS.map(|seed| scenario.run(Limit::Best, seed));
        let vegas = SEEDS.map(|seed| scenario.run(Limit::Vegas, seed));
        let other = |limit| scenario.judge(&scenario.run(limit, SEEDS[0]), &best[0]);
        Self {
            vegas: vegas.iter().zip(&best).map(|(run, best)| scenario.judge(run, best)).collect(),
            gradient: other(Limit::Gradient),
            aimd: other(Limit::Aimd),
            scenario: scenario.clone(),
            run: vegas.into_iter().next().expect("there are seeds"),
        }
    }

    /// The worst result of the default policy in a phase.
    pub(crate) fn worst(&self, phase: usize) -> Verdict {
        let all = self.vegas.iter().map(|phases| phases[phase]);
        let worse = |one: Verdict, other: Verdict| Verdict {
            throughput: one.throughput.min(other.throughput),
            latency: one.latency.max(other.latency),
            settled: one.settled.zip(other.settled).map(|(one, other)| one.max(other)),
        };
        all.reduce(worse).expect("there are seeds")
    }
}

impl Shares {
    fn new(scenario: &Scenario) -> Self {
        let shares = SEEDS.map(|seed| share(scenario, seed)).into();
        Self { scenario: scenario.clone(), shares }
    }

    /// What each got in all runs together.
    pub(crate) fn total(&self) -> [f64; 2] {
        [0, 1].map(|which| self.shares.iter().map(|both| both[which]).sum())
    }

    /// What both got together, in the worst run.
    pub(crate) fn throughput(&self) -> f64 {
        let both = self.shares.iter().map(|[one, other]| (one + other) / 2.0);
        both.fold(f64::MAX, f64::min)
    }
}

impl Display for Scenario {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Self { knee, longest_queue, millis, change } = self;
        match change {
            Change::Halves => write!(f, "{knee} workers, {}, {knee}", knee / 2)?,
            Change::Slows => write!(f, "{knee} workers, half as fast, as at first")?,
        }
        if *longest_queue < usize::MAX {
            write!(f, "; rejects when {longest_queue} wait")?;
        }
        if millis.0 < 20 {
            write!(f, "; {} to {} ms", millis.0, millis.1)?;
        }
        Ok(())
    }
}

/// What the one that got less got, relative to a fair share.
pub(crate) fn smaller([one, other]: [f64; 2]) -> f64 {
    2.0 * one.min(other) / (one + other)
}

fn line<const N: usize>(text: &mut String, cells: [&dyn Display; N]) {
    for cell in cells {
        write!(text, "| {cell} ").expect("writing to a string cannot fail");
    }
    *text += "|\n";
}

fn percent(part: f64) -> String {
    format!("{:.0} %", 100.0 * part)
}

fn millis(settled: Option<Duration>) -> String {
    settled.map_or_else(
        || format!("over {} s", PHASE.as_secs()),
        |after| format!("{} ms", after.as_millis()),
    )
}
