//! `idunno events`: what a node noticed of late, and what it notices from now on.

use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::Duration;

use anyhow::Result;
use clap::Args;

use super::sheet::{Cell, Sheet};
use super::{Reach, Show, ended};
use crate::cli::{Exit, Format};
use crate::cluster::{Client, News};

pub(in crate::cli) const EXAMPLES: &str = "\
Examples:
  idunno events
      The last thousand things that the node noticed: who leads, joins and falls silent, jobs, engines, operators.
  idunno events --follow --node 10.0.0.2:7400
      The same, and what follows, until Ctrl-C.

Each node notices for itself. When the one that is followed no longer answers, the next one is, which is said.
Times are those of the node's clock, in UTC.

Exit codes: 0 fine; 1 failed; 2 usage or a bad file; 130 interrupted.";

/// Between two looks at what is new.
const LOOK_EVERY: Duration = Duration::from_millis(200);

/// What `idunno events` is told.
#[derive(Clone, Debug, Args)]
pub(in crate::cli) struct Events {
    /// Go on with what happens from now on, until Ctrl-C.
    #[arg(long, short)]
    follow: bool,
    #[command(flatten)]
    reach: Reach,
    #[command(flatten)]
    show: Show,
}

/// Does what `idunno events` is told.
pub(in crate::cli) fn events(events: &Events, stop: &AtomicBool) -> Exit {
    ended(told(events, stop))
}

fn told(events: &Events, stop: &AtomicBool) -> Result<Exit> {
    let (mut client, _) = events.reach.client_of_all()?;
    let mut place = Place::default();
    let mut head = true;
    loop {
        let (node, news) = place.next(&mut client)?;
        if !news.is_empty() || head {
            let exit = events.show.say(&shown(&node, &news, events.show.format, head));
            if exit != Exit::Fine {
                return Ok(exit);
            }
            head = false;
        }
        if !events.follow {
            return Ok(Exit::Fine);
        }
        if stop.load(Ordering::Relaxed) {
            return Ok(Exit::Interrupted);
        }
        thread::sleep(LOOK_EVERY);
    }
}

/// How far the news were read, and whose they were.
#[derive(Debug, Default)]
struct Place {
    of: Option<(crate::base::NodeId, u32)>,
    last: u64,
    /// When the last of them happened, in milliseconds since 1970.
    at_ms: u64,
}

impl Place {
    /// What is new, and who says so.
    fn next(&mut self, client: &mut Client) -> Result<(String, Vec<News>)> {
        let (mut standing, mut news) = client.news(self.last)?;
        let life = standing.status.map_or(0, |status| status.incarnation.0);
        if self.of != Some((standing.id, life)) && self.last > 0 {
            // Another node, or another life of it, counts anew; what is older than what was told is no news.
            (standing, news) = client.news(0)?;
            news.retain(|news| news.at_ms > self.at_ms);
        }
        self.of = Some((standing.id, standing.status.map_or(0, |status| status.incarnation.0)));
        if let Some(last) = news.last() {
            (self.last, self.at_ms) = (last.number, last.at_ms);
        }
        Ok((standing.name.to_string(), news))
    }
}

fn shown(node: &str, news: &[News], format: Format, head: bool) -> String {
    if format == Format::Table {
        let line = |news: &News| format!("{}  {node}  {:<8}  {}\n", clock(news.at_ms), news.about, news.text);
        return news.iter().map(line).collect();
    }
    let mut sheet = Sheet::new(&[("at_s", "at"), ("node", "node"), ("about", "about"), ("text", "text")]);
    for news in news {
        let at = news.at_ms as f64 / 1e3;
        sheet.row(vec![
            Cell::amount(at, clock(news.at_ms)),
            Cell::text(node),
            Cell::text(news.about.as_str()),
            Cell::text(news.text.as_str()),
        ]);
    }
    if format == Format::Csv { sheet.csv(head) } else { sheet.shown(format) }
}

/// The time of day in UTC.
fn clock(at_ms: u64) -> String {
    let (seconds, ms) = (at_ms / 1000 % 86_400, at_ms % 1000);
    format!("{:02}:{:02}:{:02}.{ms:03}", seconds / 3600, seconds / 60 % 60, seconds % 60)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn news_stand_on_a_line_each() {
        let news =
            News { number: 1, at_ms: 3_661_007, about: "job".into(), text: "job 1 is complete".into() };
        let shown = |format, head| shown("n1", std::slice::from_ref(&news), format, head);
        assert_eq!(shown(Format::Table, true), "01:01:01.007  n1  job       job 1 is complete\n");
        assert_eq!(shown(Format::Csv, false), "3661.007,n1,job,job 1 is complete\n");
    }
}
