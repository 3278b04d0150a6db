//! One machine of a drill: its place on this computer, and the process on it.

use std::fs::{self, File};
use std::io;
use std::net::SocketAddr;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::Arc;
use std::thread;
use std::time::{Duration, Instant};

use nix::sys::signal::{Signal, kill, killpg};
use nix::unistd::Pid;

use super::role::Role;
use crate::base::{NodeId, Time};
use crate::cluster::clock;
use crate::cluster::diary::Reader;
use crate::scenario::NodePlan;

/// How long a process may take to stand still once it was told to.
const STOPPING: Duration = Duration::from_secs(1);
/// How many members a node without a disk is told of.
const SEEDS_MAX: usize = 5;
/// How much of what a process said is shown, in bytes.
const SAID_BYTES: usize = 2000;

/// One machine.
#[derive(Debug)]
pub(super) struct Host {
    /// What the plan says of it.
    pub(super) plan: NodePlan,
    /// Where its node listens.
    pub(super) address: SocketAddr,
    /// Who lives on its present disk; what a wiped one holds is known only once its node began.
    pub(super) id: NodeId,
    /// How often a process began on it or ended.
    pub(super) life: u32,
    /// Whether the process stands still.
    pub(super) paused: bool,
    /// When the present process was started.
    pub(super) started: Time,
    /// What the process has shown itself to be; `None` until it has said who it is.
    pub(super) role: Option<Role>,
    /// Reads what it observes.
    pub(super) diary: Reader,
    folder: PathBuf,
    process: Option<Child>,
}

/// What every node of a drill is started with.
#[derive(Debug)]
pub(super) struct Common {
    /// This program.
    pub(super) program: PathBuf,
    /// The file with the cluster's secret.
    pub(super) key: PathBuf,
    /// The file with the settings.
    pub(super) config: PathBuf,
}

impl Host {
    /// A machine that is off, with a folder of its own.
    pub(super) fn new(plan: &NodePlan, id: NodeId, address: SocketAddr, folder: PathBuf) -> Host {
        Host {
            plan: plan.clone(),
            address,
            id,
            life: 0,
            paused: false,
            started: Time::ZERO,
            role: None,
            diary: Reader::new(&folder.join("diary")),
            folder,
            process: None,
        }
    }

    /// Its disk.
    pub(super) fn disk(&self) -> PathBuf {
        self.folder.join("disk")
    }

    /// Whether a process runs on it, be it paused.
    pub(super) fn runs(&self) -> bool {
        self.process.is_some()
    }

    /// The process, if one runs.
    pub(super) fn pid(&self) -> Option<Pid> {
        self.process.as_ref().map(|process| Pid::from_raw(process.id() as i32))
    }

    /// Starts a process; one that finds no disk joins some of `others`.
    pub(super) fn start(&mut self, common: &Common, others: &[SocketAddr]) -> io::Result<()> {
        assert!(!self.runs(), "{} runs two processes", self.plan.name);
        let said = File::options().append(true).create(true).open(self.folder.join("said"))?;
        let mut command = Command::new(&common.program);
        command.arg("run").args(["--name", &self.plan.name, "--kind", &self.plan.kind]);
        command.args(["--listen", &self.address.to_string(), "--log", "warn", "--no-results"]);
        command.args(["--tied", &std::process::id().to_string()]);
        command.args(["--speed", &self.plan.speed.to_string(), "--refuse", &self.plan.refuse.to_string()]);
        command.arg("--key").arg(&common.key).arg("--config").arg(&common.config);
        command.arg("--data").arg(self.disk()).arg("--diary").arg(self.folder.join("diary"));
        if !self.plan.worker {
            command.arg("--no-worker");
        }
        for other in others.iter().take(SEEDS_MAX) {
            command.args(["--join", &other.to_string()]);
        }
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(said);
        // Ctrl-C at the terminal is for the drill, not for its nodes; and a node goes together with its engine.
        command.process_group(0);
        self.started = clock::now();
        self.process = Some(command.spawn()?);
        self.life += 1;
        self.role = None;
        Ok(())
    }

    /// Ends the process without a word, and its engine with it; `false` when none runs.
    pub(super) fn kill(&mut self) -> bool {
        let Some(mut process) = self.process.take() else { return false };
        // Who has ended by itself meanwhile is waited for all the same.
        let _ = killpg(Pid::from_raw(process.id() as i32), Signal::SIGKILL);
        let _ = process.kill();
        let _ = process.wait();
        self.ended();
        true
    }

    /// Whether the process has ended by itself, and how.
    pub(super) fn reap(&mut self) -> Option<ExitStatus> {
        let process = self.process.as_mut()?;
        let status = process.try_wait().ok()??;
        // Its engine is about to notice, unless it stands still.
        let _ = killpg(Pid::from_raw(process.id() as i32), Signal::SIGKILL);
        self.process = None;
        self.ended();
        Some(status)
    }

    fn ended(&mut self) {
        // What was meant for this life finds another one, or none, from now on.
        self.life += 1;
        self.paused = false;
    }

    /// Sends the process a signal; `false` when none runs.
    pub(super) fn signal(&self, signal: Signal) -> bool {
        self.pid().is_some_and(|pid| kill(pid, signal).is_ok())
    }

    /// The process stands still once this returns; `false` when none runs or it does so already.
    pub(super) fn pause(&mut self) -> bool {
        if self.paused || !self.signal(Signal::SIGSTOP) {
            return false;
        }
        let began = Instant::now();
        while !self.pid().is_some_and(stands_still) && began.elapsed() < STOPPING {
            thread::sleep(Duration::from_micros(100));
        }
        self.paused = true;
        true
    }

    /// The process goes on.
    pub(super) fn resume(&mut self) {
        self.paused = false;
        self.signal(Signal::SIGCONT);
    }

    /// Takes the disk of a process that is dead.
    pub(super) fn wipe(&mut self) -> io::Result<()> {
        assert!(!self.runs(), "the disk of a process that runs is not taken away");
        let disk = self.disk();
        for entry in fs::read_dir(&disk)? {
            let path = entry?.path();
            if path.is_dir() { fs::remove_dir_all(path)? } else { fs::remove_file(path)? }
        }
        Ok(())
    }

    /// The engines of its node: one, or none while it is being replaced.
    pub(super) fn engines(&self) -> Vec<Pid> {
        self.pid().map_or_else(Vec::new, children)
    }

    /// The last that its processes said.
    pub(super) fn said(&self) -> Arc<str> {
        let said = fs::read(self.folder.join("said")).unwrap_or_default();
        let said = &said[said.len().saturating_sub(SAID_BYTES)..];
        String::from_utf8_lossy(said).trim().into()
    }
}

impl Drop for Host {
    fn drop(&mut self) {
        self.kill();
    }
}

/// Whether a process stands still because it was told to.
fn stands_still(pid: Pid) -> bool {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
    // The name in parentheses may hold anything; the state follows it.
    stat.rsplit_once(')').is_some_and(|(_, rest)| rest.trim_start().starts_with('T'))
}

/// The processes that `pid` started.
fn children(pid: Pid) -> Vec<Pid> {
    let threads = fs::read_dir(Path::new("/proc").join(pid.to_string()).join("task"));
    let lists = threads
        .into_iter()
        .flatten()
        .filter_map(|thread| fs::read_to_string(thread.ok()?.path().join("children")).ok());
    let ids = lists.flat_map(|list| list.split_whitespace().map(str::to_owned).collect::<Vec<_>>());
    ids.filter_map(|id| id.parse().ok().map(Pid::from_raw)).collect()
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;
    use std::panic::{AssertUnwindSafe, catch_unwind};

    use super::*;

    /// A machine whose process does nothing, for a long time.
    fn idle(folder: &Path) -> Host {
        let program = folder.join("idle");
        fs::write(&program, "#!/bin/sh\nexec sleep 1000\n").unwrap();
        fs::set_permissions(&program, fs::Permissions::from_mode(0o700)).unwrap();
        let common = Common { program, key: folder.join("key"), config: folder.join("settings") };
        let place = ([127, 0, 0, 1], 1).into();
        let mut host = Host::new(&NodePlan::usual(1), NodeId::new(1), place, folder.to_owned());
        host.start(&common, &[]).unwrap();
        host
    }

    fn is_there(pid: Pid) -> bool {
        kill(pid, None).is_ok()
    }

    #[test]
    fn a_process_ends_with_its_machine_even_when_that_ends_in_a_panic() {
        let folder = tempfile::tempdir().unwrap();
        let mut host = idle(folder.path());
        let pid = host.pid().unwrap();
        assert!(host.pause() && stands_still(pid) && !host.pause());
        assert!(is_there(pid));
        let panicked = catch_unwind(AssertUnwindSafe(|| {
            let _host = host;
            panic!("in the midst of a drill");
        }));
        assert!(panicked.is_err() && !is_there(pid));
    }

    #[test]
    fn a_process_that_ends_by_itself_is_noticed() {
        let folder = tempfile::tempdir().unwrap();
        let mut host = idle(folder.path());
        assert_eq!(host.reap(), None);
        host.signal(Signal::SIGKILL);
        let began = Instant::now();
        while host.reap().is_none() {
            assert!(began.elapsed() < Duration::from_secs(30));
        }
        assert!(!host.runs() && !host.kill() && host.life == 2);
    }
}
