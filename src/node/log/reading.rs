//! Reading: what a majority confirms is fresh.

use super::super::io::Outbox;
use super::lead::Read;
use super::{Log, LogEvent, Turn};
use crate::base::Time;

/// Reads that wait for their round; one beyond is refused.
const READS_MAX: usize = 16_384;

impl Log {
    /// Begins a read: [`LogEvent::Readable`] follows once a majority has confirmed that this node still leads. A reign that
    /// ends takes its unanswered reads with it. `None` when it does not
    /// lead, or when too many reads wait.
    pub(in super::super) fn read(&mut self, _now: Time, out: &mut Outbox) -> Option<u64> {
        let commit = self.store.commit();
        self.reads_begun += 1;
        let read = self.reads_begun;
        let lead = self.lead_mut().filter(|lead| lead.reads.len() < READS_MAX)?;
        // Before the first entry of the own term is committed, the commit index may be behind what a former leader said.
        let waiting = Read { number: read, round: lead.round + 1, index: commit.max(lead.first) };
        let first = lead.reads.is_empty();
        lead.reads.push_back(waiting);
        let alone = self.confirmed() == Some(u64::MAX);
        if alone {
            self.lead_mut()?.answerable = true;
        } else if first {
            self.confirm(out);
        }
        Some(read)
    }

    /// The last round that a majority has answered.
    fn confirmed(&self) -> Option<u64> {
        let lead = self.lead()?;
        self.store.seats().reached(|voter| {
            if voter == self.me {
                u64::MAX
            } else {
                lead.followers.get(&voter).map_or(0, |follower| follower.round)
            }
        })
    }

    /// Asks the voters for a sign that this node still leads.
    fn confirm(&mut self, out: &mut Outbox) {
        for voter in self.store.seats().voters.clone() {
            self.send_append(out, voter, false);
        }
    }

    /// Tells which reads may be answered. Those that came while a round was under way share the next.
    pub(super) fn answer_reads(&mut self, t: &mut Turn) {
        let Some(lead) = self.lead_mut() else { return };
        lead.answerable = false;
        if lead.reads.is_empty() {
            return;
        }
        let commit = self.store.commit();
        let Some(confirmed) = self.confirmed() else { return };
        let Some(lead) = self.lead_mut() else { return };
        let waiting = lead.reads.len();
        while let Some(read) = lead.reads.front()
            && read.round <= confirmed
            && read.index <= commit
        {
            t.tell(LogEvent::Readable { read: read.number, index: read.index });
            lead.reads.pop_front();
        }
        if !lead.reads.is_empty() && lead.reads.len() < waiting {
            self.confirm(t.out);
        }
    }
}
