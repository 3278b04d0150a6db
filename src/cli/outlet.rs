//! Where results go: the standard output, for what may be long, and files.

use std::io::{self, Write};
use std::path::Path;

use anyhow::{Result, ensure};

use super::Exit;

/// Lets `write` fill the standard output with what may be long. Whoever reads it may have enough, which is no failure.
pub(super) fn pour(write: impl FnOnce(&mut dyn Write) -> Result<()>) -> Result<Exit> {
    struct Pipe {
        out: io::StdoutLock<'static>,
        broken: bool,
    }
    impl Pipe {
        fn noted<T>(&mut self, done: io::Result<T>) -> io::Result<T> {
            self.broken |= done.as_ref().is_err_and(|error| error.kind() == io::ErrorKind::BrokenPipe);
            done
        }
    }
    impl Write for Pipe {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            let done = self.out.write(bytes);
            self.noted(done)
        }
        fn flush(&mut self) -> io::Result<()> {
            let done = self.out.flush();
            self.noted(done)
        }
    }
    let mut pipe = Pipe { out: io::stdout().lock(), broken: false };
    let poured = write(&mut pipe).and_then(|()| Ok(pipe.flush()?));
    if pipe.broken { Ok(Exit::Fine) } else { poured.map(|()| Exit::Fine) }
}

/// The folder that a file is in, or would be.
pub(super) fn folder_of(path: &Path) -> &Path {
    path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."))
}

/// Whether a file can be made at `path`, as far as its folder goes: asked before there is anything to write into it.
pub(super) fn is_in_a_folder(path: &Path) -> Result<()> {
    let folder = folder_of(path);
    ensure!(folder.is_dir(), "there is no folder {}", folder.display());
    Ok(())
}
