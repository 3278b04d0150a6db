//! Invariant 9 for files: what clients are told of one name fits one order of events.
//!
//! Versions are numbered in the order in which they were put, and no number is given twice for a name, so that an order need not be
//! searched for: it is known but for what was deleted when. What is looked for is therefore what no order could have room for.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::verdict::{Findings, Invariant};
use crate::base::Time;
use crate::node::{Content, Version};

/// What was asked about one name, and told.
#[derive(Debug, Default)]
pub(super) struct Register {
    puts: Vec<Write>,
    deletes: Vec<Delete>,
    reads: Vec<Look>,
}

#[derive(Debug)]
struct Write {
    asked: Time,
    /// When which version was said to be made; `None` where its client does not know.
    told: Option<(Time, u64)>,
    content: Arc<Content>,
}

#[derive(Debug)]
struct Delete {
    asked: Time,
    told: Option<Time>,
}

#[derive(Debug)]
struct Look {
    asked: Time,
    told: Time,
    /// What was seen: a version, or that there is no such file.
    seen: Option<Arc<Version>>,
}

impl Register {
    pub(super) fn put(&mut self, asked: Time, told: Option<(Time, u64)>, content: &Arc<Content>) {
        self.puts.push(Write { asked, told, content: Arc::clone(content) });
    }

    pub(super) fn delete(&mut self, asked: Time, told: Option<Time>) {
        self.deletes.push(Delete { asked, told });
    }

    pub(super) fn read(&mut self, asked: Time, told: Time, seen: Option<Arc<Version>>) {
        self.reads.push(Look { asked, told, seen });
    }

    /// Looks for what fits no order.
    pub(super) fn finish(&self, name: &str, findings: &mut Findings) {
        let mut report = |at: Time, detail: std::fmt::Arguments<'_>| {
            findings.report(Invariant::Linearizable, at, &[], detail);
        };
        // What was known to be newest at some moment: after each answer, the highest number that anybody was told.
        let mut known: BTreeMap<Time, u64> = BTreeMap::new();
        let mut numbers: BTreeMap<u64, &Write> = BTreeMap::new();
        let puts = self.puts.iter().filter_map(|put| Some((put, put.told?)));
        for (put, (told, number)) in puts {
            known.entry(told).and_modify(|most| *most = number.max(*most)).or_insert(number);
            if numbers.insert(number, put).is_some() {
                report(told, format_args!("two files are said to be version {number} of {name}"));
            }
        }
        for read in &self.reads {
            if let Some(version) = &read.seen {
                let number = version.number;
                known.entry(read.told).and_modify(|most| *most = number.max(*most)).or_insert(number);
            }
        }
        let mut most = 0;
        for number in known.values_mut() {
            most = most.max(*number);
            *number = most;
        }
        let newest_before = |at: Time| known.range(..at).next_back().map_or(0, |(_, number)| *number);
        for (&number, put) in &numbers {
            let before = newest_before(put.asked);
            if number <= before {
                let told = put.told.map_or(put.asked, |(told, _)| told);
                report(
                    told,
                    format_args!("{name} got version {number} when it was known to have had {before}"),
                );
            }
        }
        for read in &self.reads {
            match &read.seen {
                Some(version) => self.seen(name, read, version, &newest_before, &mut report),
                None => self.missing(name, read, &mut report),
            }
        }
    }

    /// A version was seen: it was put, is the newest, and was not deleted before.
    fn seen(
        &self,
        name: &str,
        read: &Look,
        version: &Version,
        newest_before: &dyn Fn(Time) -> u64,
        report: &mut dyn FnMut(Time, std::fmt::Arguments<'_>),
    ) {
        let number = version.number;
        let fits = |put: &&Write| {
            put.asked <= read.told
                && put.content == version.content
                && put.told.is_none_or(|(_, told)| told == number)
        };
        let Some(put) = self.puts.iter().find(fits) else {
            return report(read.told, format_args!("version {number} of {name} is not what anybody has put"));
        };
        let before = newest_before(read.asked);
        if before > number {
            report(
                read.told,
                format_args!(
                    "version {number} of {name} was seen as the newest, and {before} was known before"
                ),
            );
        }
        if let Some((told, _)) = put.told
            && self
                .deletes
                .iter()
                .any(|delete| delete.asked > told && delete.told.is_some_and(|deleted| deleted < read.asked))
        {
            report(read.told, format_args!("version {number} of {name} was seen after it was deleted"));
        }
    }

    /// A file was said not to be there: then no version was put before that nobody can have deleted since.
    fn missing(&self, name: &str, read: &Look, report: &mut dyn FnMut(Time, std::fmt::Arguments<'_>)) {
        let lasting =
            self.puts.iter().filter_map(|put| Some((put.asked, put.told?))).find(|(asked, (told, _))| {
                let deleted = |delete: &Delete| {
                    delete.asked <= read.told && delete.told.is_none_or(|deleted| deleted >= *asked)
                };
                *told < read.asked && !self.deletes.iter().any(deleted)
            });
        if let Some((_, (_, number))) = lasting {
            report(
                read.told,
                format_args!("{name} was said not to be there, and nobody has deleted version {number}"),
            );
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::gaps::Gaps;
    use super::*;
    use crate::node::FileKind;

    fn at(second: u64) -> Time {
        Time(second * 1_000_000_000)
    }

    fn content(bytes: u32) -> Arc<Content> {
        let chunk = crate::base::Chunk { id: crate::base::ChunkId([bytes as u8; 32]), bytes };
        Arc::new(Content { kind: FileKind::Plain, chunks: vec![chunk] })
    }

    fn version(number: u64, bytes: u32) -> Arc<Version> {
        Arc::new(Version { number, at: at(0), content: content(bytes) })
    }

    fn flaws(register: &Register) -> Vec<String> {
        let mut findings = Findings::new(1, Vec::new(), Gaps::default());
        register.finish("a", &mut findings);
        findings.violations.iter().map(|violation| violation.detail.clone()).collect()
    }

    /// Version 1 is put until second 2, version 2 from 3 to 5, the file is deleted from 7 to 9.
    fn story() -> Register {
        let mut register = Register::default();
        register.put(at(1), Some((at(2), 1)), &content(1));
        register.put(at(3), Some((at(5), 2)), &content(2));
        register.delete(at(7), Some(at(9)));
        register
    }

    #[test]
    fn what_fits_an_order_is_fine() {
        let mut register = story();
        for (asked, told, seen) in [
            (0, 1, None),
            (1, 2, None),
            (1, 2, Some(version(1, 1))),
            (3, 4, Some(version(1, 1))),
            (3, 4, Some(version(2, 2))),
            (6, 8, Some(version(2, 2))),
            (6, 8, None),
            (10, 11, None),
        ] {
            register.read(at(asked), at(told), seen);
        }
        // Nobody knows whether this one took effect.
        register.put(at(10), None, &content(3));
        register.read(at(12), at(13), Some(version(3, 3)));
        assert_eq!(flaws(&register), Vec::<String>::new());
    }

    #[test]
    fn what_fits_none_is_found() {
        for (asked, told, seen, flaw) in [
            (3, 4, None, "said not to be there"),
            (6, 7, Some(version(1, 1)), "2 was known before"),
            (3, 4, Some(version(1, 2)), "not what anybody has put"),
            (3, 4, Some(version(7, 1)), "not what anybody has put"),
            (10, 11, Some(version(2, 2)), "after it was deleted"),
        ] {
            let mut register = story();
            register.read(at(asked), at(told), seen);
            let found = flaws(&register);
            assert!(found.len() == 1 && found[0].contains(flaw), "{flaw}: {found:?}");
        }
        let mut register = story();
        register.put(at(6), Some((at(8), 2)), &content(4));
        assert!(flaws(&register).iter().any(|flaw| flaw.contains("two files")));
        let mut register = story();
        register.put(at(10), Some((at(11), 1)), &content(1));
        assert!(!flaws(&register).is_empty());
    }
}
