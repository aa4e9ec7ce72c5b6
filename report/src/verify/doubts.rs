//! Why the histories of the keys may prove nothing: evidence that is damaged, incomplete or
//! contradicts itself, or too little of it.

use artifacts::drain::{Offsets, Settled};
use artifacts::findings::Evidence;
use artifacts::ledger::{Op, Phase};
use artifacts::summary::Summary;

use super::audit::audit;
use super::context::{Context, Doubt};
use super::remedy;

const COLLECTED: &str = "collected.json";

impl Context {
    /// Reasons why the histories of the keys prove nothing: damaged or incomplete evidence, or too
    /// little of it.
    pub fn doubts(&self) -> Vec<Doubt> {
        let mut doubts = Vec::new();
        let mut add = |evidence: Evidence| {
            doubts.push(Doubt { evidence, remedy: remedy::rehearse(&self.run) });
        };
        if let Err(evidence) = &self.ledger {
            add(evidence.clone());
        }
        if let Some(evidence) = &self.topics_damage {
            add(evidence.clone());
        }
        match &self.collected {
            Err(evidence) => add(evidence.clone()),
            Ok(None) => doubts.push(self.not_collected()),
            Ok(Some(_)) => {
                for hole in self.topics.holes.iter().take(3) {
                    add(Evidence { text: hole.clone(), file: Some(COLLECTED.into()), at: None });
                }
            }
        }
        if let Some(Err(doubt)) = audit(self) {
            doubts.push(doubt);
        }
        let more = [self.lost_lines(), self.moved_cut(), self.foreign_topic(), self.too_little()];
        doubts.extend(more.into_iter().flatten());
        doubts
    }

    fn doubt(&self, text: String, file: &str, at: Option<&str>) -> Doubt {
        let evidence = Evidence { text, file: Some(file.to_owned()), at: at.map(str::to_owned) };
        Doubt { evidence, remedy: remedy::rehearse(&self.run) }
    }

    fn not_collected(&self) -> Doubt {
        let text = format!("{COLLECTED} was not written: nobody knows how far the topics were read");
        Doubt { remedy: self.go_on("cargo xtask collect"), ..self.doubt(text, COLLECTED, None) }
    }

    /// The evidence may still change: what looks proven is not.
    pub fn unsealed(&self) -> Option<Doubt> {
        let text = "the evidence is not sealed: it may be incomplete or change".to_owned();
        let doubt = || Doubt {
            remedy: "cargo xtask collect completes and seals it".to_owned(),
            ..self.doubt(text, artifacts::run_dir::SUMS, None)
        };
        (!self.sealed).then(doubt)
    }

    /// The data generator counted other fates than the ledger has: a line was lost. A generator that
    /// was begun again has counted from zero, so that the ledger may have more.
    fn lost_lines(&self) -> Option<Doubt> {
        let summaries = match &self.summaries {
            Ok(summaries) => summaries,
            Err(evidence) => return Some(self.doubt(evidence.text.clone(), evidence.file.as_deref()?, None)),
        };
        for (file, step, summary) in summaries {
            let begun = |course: &super::course::Course| course.begun.get(step).copied().unwrap_or(0);
            let once = self.course.as_ref().is_ok_and(|course| begun(course) <= 1);
            let differs = |(_, counted, written): &(&str, u64, u64)| {
                if once { counted != written } else { counted > written }
            };
            if let Some((what, counted, written)) = self.counted(summary).into_iter().find(differs) {
                let text = format!(
                    "the data generator counted {counted} {what} {} the cut, {} has {written}: it has lost or \
                     gained lines",
                    summary.phase, self.ledger_file
                );
                return Some(self.doubt(text, file, None));
            }
        }
        None
    }

    /// The data generator counted more than the ledger has: it may have lost any change.
    pub fn ledger_lacks(&self) -> bool {
        let summaries = self.summaries.as_deref().unwrap_or_default();
        let mut pairs = summaries.iter().flat_map(|(_, _, summary)| self.counted(summary));
        pairs.any(|(_, counted, written)| counted > written)
    }

    /// What the data generator counted, and what the ledger has of it.
    fn counted(&self, summary: &Summary) -> Vec<(&'static str, u64, u64)> {
        let Ok(ledger) = &self.ledger else { return Vec::new() };
        let (phase, counted) = (summary.phase, summary.transactions);
        let written = ledger.fates.get(&phase).copied().unwrap_or_default();
        vec![
            ("acknowledged transactions", counted.acknowledged, written.acknowledged),
            ("refused transactions", counted.refused, written.refused),
            ("transactions of unknown fate", counted.unknown, written.unknown),
            ("acknowledged changes", summary.acknowledged.total(), ledger.answered_in(phase)),
        ]
    }

    /// `collected.json` divides before from after elsewhere than the drain did, or than the topics
    /// ended at the cut when nobody drained.
    fn moved_cut(&self) -> Option<Doubt> {
        let cut = &self.collected.as_ref().ok()?.as_ref()?.cut;
        let (file, ends): (&str, Offsets) = match &self.first_drain {
            Err(evidence) => return Some(self.doubt(evidence.text.clone(), evidence.file.as_deref()?, None)),
            Ok(Some((file, drain))) => (file, drain.ends.clone()),
            Ok(None) => {
                let topics = &self.snapshot("cut").ok()?.topics;
                let ends = topics.iter().map(|(topic, partitions)| {
                    (topic.clone(), partitions.iter().map(|(p, bounds)| (*p, bounds.end)).collect())
                });
                ("snapshots/cut.json", ends.collect())
            }
        };
        let differs = |topic: &&String| cut.get(*topic) != ends.get(*topic);
        let topic = cut.keys().chain(ends.keys()).find(differs)?;
        let show = |offsets: &Offsets| match offsets.get(topic) {
            Some(partitions) => format!("{partitions:?}"),
            None => "nothing".to_owned(),
        };
        let text = format!(
            "{COLLECTED} cuts {topic} at {}, {file} saw it end at {}: nobody knows what is before and after",
            show(cut),
            show(&ends)
        );
        Some(self.doubt(text, COLLECTED, Some("/cut")))
    }

    /// A topic of the run whose table the ledger does not know.
    fn foreign_topic(&self) -> Option<Doubt> {
        self.ledger.as_ref().ok()?;
        let table =
            |topic: &str| topic.strip_prefix(&self.run.names.prefix)?.strip_prefix('.').map(str::to_owned);
        let known = |topic: &&String| table(topic).is_some_and(|table| self.tables.contains_key(&table));
        let topic = self.run.names.topics.iter().find(|topic| !known(topic))?;
        let text = format!("{topic} is a topic of the run, and the ledger knows no table of it");
        Some(self.doubt(text, "run.json", Some("/names/topics")))
    }

    /// At least one acknowledged insert, update and delete per table and phase, or what lacks.
    fn too_little(&self) -> Option<Doubt> {
        let ledger = self.ledger.as_ref().ok()?;
        if self.tables.is_empty() {
            let text = "too little was seen: the ledger names no table".to_owned();
            return Some(self.doubt(text, &self.ledger_file, None));
        }
        let mut lacking = Vec::new();
        for phase in [Phase::Before, Phase::After] {
            for table in self.tables.keys() {
                for (op, name) in [(Op::Create, "insert"), (Op::Update, "update"), (Op::Delete, "delete")] {
                    if !ledger.acknowledged.contains_key(&(phase, table.clone(), op)) {
                        lacking.push(format!("{name} of {table} {phase} the cut"));
                    }
                }
            }
        }
        let first = lacking.first()?;
        if let Some(doubt) = self.nothing_tried() {
            return Some(doubt);
        }
        let more = lacking.len() - 1;
        let rest = if more > 0 { format!(" (and {more} more kinds)") } else { String::new() };
        let text = format!("too little was seen: the ledger has no acknowledged {first}{rest}");
        let remedy = format!("rehearse with more changes: {} --changes 5000", remedy::command(&self.run));
        Some(Doubt { remedy, ..self.doubt(text, &self.ledger_file, None) })
    }

    /// Nobody changed anything after the upgrade because a step before it had failed: more changes
    /// would not help.
    pub fn nothing_tried(&self) -> Option<Doubt> {
        let tried = self.ledger.as_ref().ok()?.tried.get(&Phase::After).copied().unwrap_or(0);
        let failed = self.course.as_ref().ok()?.failed.first().filter(|_| tried == 0)?;
        let text = format!("nothing was changed after the upgrade, because step {} had failed", failed.step);
        let evidence = Evidence { text, ..failed.evidence() };
        Some(Doubt { evidence, remedy: remedy::rehearse(&self.run) })
    }

    /// Whether delivery had settled, so that missing may be said.
    pub fn unsettled(&self) -> Option<Doubt> {
        let settled = self.collected.as_ref().ok().and_then(|c| c.as_ref()).and_then(|c| c.settled);
        let text = match settled {
            Some(Settled::Marker) => return None,
            Some(Settled::Idle) => {
                let mut evidence = self.death_after()?;
                evidence.text.push_str(": that nothing moved any more says nothing about the upgrade");
                return Some(Doubt { evidence, remedy: remedy::rehearse(&self.run) });
            }
            Some(Settled::No) => "delivery had not settled: something was still moving at the deadline",
            None => match self.death_after() {
                Some(evidence) => return Some(Doubt { evidence, remedy: remedy::rehearse(&self.run) }),
                None => "nobody waited until delivery had settled: drain-again was not run",
            },
        };
        let doubt = self.doubt(text.to_owned(), COLLECTED, Some("/settled"));
        Some(Doubt { remedy: self.go_on("cargo xtask drain-again, then cargo xtask collect"), ..doubt })
    }

    /// Everything that was delivered was read, and nothing can arrive any more.
    pub fn conclusive(&self) -> bool {
        matches!(self.collected, Ok(Some(_)))
            && self.topics_damage.is_none()
            && self.topics.holes.is_empty()
            && self.unsettled().is_none()
    }
}
