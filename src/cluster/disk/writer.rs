//! The thread that makes records durable: one sync at a time, and what comes in the meantime shares the next.

use std::io;
use std::sync::mpsc::{self, Receiver, SyncSender};
use std::thread::{self, JoinHandle};

use super::DiskError;
use super::log::Log;
use crate::node::{Record, Token};

/// Records that may wait. A disk that falls further behind is as good as broken.
const WAITING_MAX: usize = 65_536;
/// Records that share one sync.
const TOGETHER_MAX: usize = 1024;

/// The way to the disk. Dropping it waits until what was given to it is written.
#[derive(Debug)]
pub(in super::super) struct Writer {
    sender: Option<SyncSender<(Token, Record)>>,
    thread: Option<JoinHandle<()>>,
}

impl Writer {
    /// Starts the thread. `tell` is called with the newest token that is durable after each sync, and with the error that ended it.
    pub(in super::super) fn start(
        mut log: Log,
        tell: impl Fn(Result<Token, DiskError>) + Send + 'static,
    ) -> io::Result<Writer> {
        let (sender, inbox) = mpsc::sync_channel(WAITING_MAX);
        let run = move || write_all(&mut log, &inbox, &tell);
        let thread = thread::Builder::new().name("disk".to_owned()).spawn(run)?;
        Ok(Writer { sender: Some(sender), thread: Some(thread) })
    }

    /// Gives it a record. `false` when the disk is so far behind, or broken, that it takes no more.
    pub(in super::super) fn write(&self, token: Token, record: Record) -> bool {
        self.sender.as_ref().is_some_and(|sender| sender.try_send((token, record)).is_ok())
    }
}

impl Drop for Writer {
    fn drop(&mut self) {
        self.sender = None;
        if let Some(thread) = self.thread.take() {
            // What a panic there had to say was said when it happened.
            let _ = thread.join();
        }
    }
}

fn write_all(log: &mut Log, inbox: &Receiver<(Token, Record)>, tell: &impl Fn(Result<Token, DiskError>)) {
    while let Ok((mut token, record)) = inbox.recv() {
        let mut records = vec![record];
        while records.len() < TOGETHER_MAX
            && let Ok((later, record)) = inbox.try_recv()
        {
            token = later;
            records.push(record);
        }
        let written = log.write(records);
        let broken = written.is_err();
        tell(written.map(|()| token));
        // What a disk that failed once holds is anyone's guess: nothing more is written to it.
        if broken {
            return;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::Folder;
    use super::*;
    use crate::base::{Incarnation, NodeId};

    #[test]
    fn every_record_is_durable_once_its_token_was_told() {
        let folder = tempfile::tempdir().unwrap();
        let open = || Log::open(Folder::open(folder.path(), NodeId::new(1)).unwrap()).unwrap().0;
        let (sender, told) = mpsc::channel();
        let writer = Writer::start(open(), move |result| sender.send(result.unwrap()).unwrap()).unwrap();
        for n in 1..=500 {
            assert!(writer.write(Token(n), Record::Incarnation(Incarnation(n as u32))));
        }
        let tokens: Vec<Token> =
            std::iter::from_fn(|| told.recv().ok()).take_while(|token| *token < Token(500)).collect();
        assert!(tokens.is_sorted() && tokens.len() < 499, "{} syncs for 500 records", tokens.len() + 1);
        drop(writer);
        assert_eq!(open().disk().incarnation, Incarnation(500));
    }
}
