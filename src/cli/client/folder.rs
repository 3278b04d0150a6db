//! A folder as one file: a zip in which nothing is compressed, the same for the same folder, and safe to unpack whoever made it.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Read, Seek, Write};
use std::path::Path;

use anyhow::{Context, Result, bail, ensure};
use zip::write::SimpleFileOptions;
use zip::{CompressionMethod, ZipArchive, ZipWriter};

/// The most files and folders in one folder.
const ENTRIES_MAX: usize = 1_000_000;
/// The most entries of a zip whose files are made durable one by one.
const SYNCED_MAX: usize = 64;
/// Folders within folders.
const DEPTH_MAX: usize = 100;
/// Bytes of a name.
const NAME_BYTES_MAX: usize = 4_096;

/// Writes what is below a folder into a zip: in the order of the bytes of their names, without times, and of the rights only whether
/// a file can be executed.
pub(super) fn pack(folder: &Path, to: &mut (impl Write + Seek), stop: &dyn Fn() -> bool) -> Result<()> {
    let mut zip = ZipWriter::new(io::BufWriter::new(to));
    let filled = fill(&mut zip, folder, stop);
    if filled.is_err() {
        // It would be finished now, and the library would print that this cannot be done either.
        std::mem::forget(zip);
        return filled;
    }
    zip.finish()?.flush()?;
    Ok(())
}

fn fill<W: Write + Seek>(zip: &mut ZipWriter<W>, folder: &Path, stop: &dyn Fn() -> bool) -> Result<()> {
    let mut entries = Vec::new();
    list(folder, "", 0, &mut entries)?;
    entries.sort();
    let options = SimpleFileOptions::DEFAULT
        .compression_method(CompressionMethod::Stored)
        .last_modified_time(zip::DateTime::DEFAULT);
    for name in entries {
        let path = folder.join(&name);
        let cannot = || format!("cannot pack {}", path.display());
        if name.ends_with('/') {
            zip.add_directory(name, options.unix_permissions(0o755))?;
            continue;
        }
        let file = File::open(&path).with_context(cannot)?;
        let about = file.metadata().with_context(cannot)?;
        let options = options.unix_permissions(if is_executable(&about) { 0o755 } else { 0o644 });
        // Such a file needs longer numbers in the zip.
        zip.start_file(name, options.large_file(about.len() >= u64::from(u32::MAX)))?;
        let mut read = Stoppable { from: (&file).take(about.len()), stop };
        let copied = io::copy(&mut read, zip).with_context(cannot)?;
        let after = file.metadata().with_context(cannot)?;
        let same = after.len() == about.len() && after.modified().ok() == about.modified().ok();
        ensure!(
            copied == about.len() && same,
            "{} changed while it was read; nothing was stored",
            path.display()
        );
    }
    Ok(())
}

/// Reads until it shall stop, which is an error then.
pub(super) struct Stoppable<'a, R> {
    pub(super) from: R,
    pub(super) stop: &'a dyn Fn() -> bool,
}

impl<R: Read> Read for Stoppable<'_, R> {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        if (self.stop)() {
            return Err(io::Error::other("stopped before it was done"));
        }
        self.from.read(into)
    }
}

/// The names of what is below a folder; those of folders end with a slash.
fn list(folder: &Path, prefix: &str, depth: usize, entries: &mut Vec<String>) -> Result<()> {
    ensure!(depth <= DEPTH_MAX, "{} has more than {DEPTH_MAX} folders within folders", folder.display());
    for entry in fs::read_dir(folder).with_context(|| format!("cannot read {}", folder.display()))? {
        let entry = entry?;
        let shown = entry.path();
        let name = entry.file_name();
        let name = name.to_str().map(|name| format!("{prefix}{name}")).filter(|name| is_harmless(name));
        let Some(mut name) = name else {
            bail!(
                "{} has a name that not every system can have; wanted text without : \\ and control characters",
                shown.display()
            )
        };
        let kind = entry.file_type()?;
        if kind.is_dir() {
            name.push('/');
            list(&shown, &name, depth + 1, entries)?;
        } else if !kind.is_file() {
            bail!("{} is a link or something else that is no file; put a folder without it", shown.display());
        }
        entries.push(name);
        ensure!(entries.len() <= ENTRIES_MAX, "a folder has at most {ENTRIES_MAX} files and folders");
    }
    Ok(())
}

/// Unpacks a zip into a folder that is there and empty. It may be hostile: nothing leaves the folder, and nothing takes more room than
/// the zip's own `bytes`. What was written before an error stays in the folder.
pub(super) fn unpack(zip: impl Read + Seek, bytes: u64, into: &Path, stop: &dyn Fn() -> bool) -> Result<()> {
    let mut zip = ZipArchive::new(zip).context("it is no sound zip")?;
    ensure!(zip.len() <= ENTRIES_MAX, "it has more than {ENTRIES_MAX} entries");
    let mut room = bytes;
    // A disk takes a thousand files at once in the time of a few that are synced one by one.
    let many = cfg!(target_os = "linux") && zip.len() > SYNCED_MAX;
    for place in 0..zip.len() {
        let mut entry = zip.by_index(place).with_context(|| format!("its entry {place} is not sound"))?;
        let name = entry.name().context("it has a name that is no text")?.into_owned();
        let plain = name.strip_suffix('/').unwrap_or(&name);
        ensure!(
            is_harmless(plain),
            "it has an entry {name:?}, which leads elsewhere or is no name everywhere"
        );
        // What kind of file it is stands above the rights; zips of other systems say nothing.
        let special =
            entry.unix_mode().is_some_and(|mode| ![0, 0o040_000, 0o100_000].contains(&(mode & 0o170_000)));
        ensure!(
            !special && !entry.is_symlink(),
            "its entry {name:?} is a link or something else that is no file"
        );
        let path = into.join(plain);
        if name.ends_with('/') {
            fs::create_dir_all(&path).with_context(|| format!("cannot make {}", path.display()))?;
            continue;
        }
        let stored =
            entry.compression() == CompressionMethod::Stored && entry.size() == entry.compressed_size();
        ensure!(stored, "its entry {name:?} is packed, which those of a folder are not");
        room = room
            .checked_sub(entry.size())
            .with_context(|| format!("{name:?} is larger than the whole zip"))?;
        if let Some(parent) = path.parent() {
            fs::create_dir_all(parent).with_context(|| format!("cannot make {}", parent.display()))?;
        }
        let size = entry.size();
        let executable = entry.unix_mode().is_some_and(|mode| mode & 0o111 != 0);
        let mut file =
            create(&path, executable).with_context(|| format!("cannot make {}", path.display()))?;
        let copied = io::copy(&mut Stoppable { from: entry.by_ref().take(size + 1), stop }, &mut file);
        let copied = copied.with_context(|| format!("cannot unpack {name:?}"))?;
        ensure!(copied == size, "{name:?} has not as many bytes as the zip says");
        if !many {
            file.sync_all()?;
        }
    }
    if many { sync(into) } else { Ok(()) }
}

/// Makes everything below a folder durable, with whatever else waits to be written on that disk.
#[cfg(target_os = "linux")]
fn sync(folder: &Path) -> Result<()> {
    let opened = File::open(folder).with_context(|| folder.display().to_string())?;
    nix::unistd::syncfs(&opened).with_context(|| format!("cannot write {}", folder.display()))
}

#[cfg(not(target_os = "linux"))]
fn sync(_: &Path) -> Result<()> {
    Ok(())
}

/// Whether a name stays below the folder, on any system.
fn is_harmless(name: &str) -> bool {
    let part = |part: &str| !part.is_empty() && part != "." && part != "..";
    let letter = |letter: char| letter.is_control() || letter == '\\' || letter == ':';
    let depth = name.split('/').count();
    name.len() <= NAME_BYTES_MAX
        && depth <= DEPTH_MAX + 1
        && name.split('/').all(part)
        && !name.contains(letter)
}

#[cfg(unix)]
fn is_executable(about: &fs::Metadata) -> bool {
    use std::os::unix::fs::PermissionsExt;
    about.permissions().mode() & 0o111 != 0
}

#[cfg(not(unix))]
fn is_executable(_: &fs::Metadata) -> bool {
    false
}

/// Makes a file that is not there yet.
fn create(path: &Path, executable: bool) -> io::Result<File> {
    let mut options = OpenOptions::new();
    options.write(true).create_new(true);
    #[cfg(unix)]
    {
        use std::os::unix::fs::OpenOptionsExt;
        options.mode(if executable { 0o777 } else { 0o666 });
    }
    #[cfg(not(unix))]
    let _ = executable;
    options.open(path)
}

#[cfg(test)]
mod tests {
    use std::io::Cursor;

    use super::*;

    fn packed(folder: &Path) -> Vec<u8> {
        let mut zip = Cursor::new(Vec::new());
        pack(folder, &mut zip, &|| false).unwrap();
        zip.into_inner()
    }

    fn unpacked(zip: &[u8], bytes: u64) -> Result<tempfile::TempDir> {
        let folder = tempfile::tempdir().unwrap();
        unpack(Cursor::new(zip), bytes, folder.path(), &|| false).map(|()| folder)
    }

    #[test]
    fn a_folder_comes_back_as_it_was_and_the_same_folder_makes_the_same_bytes() {
        let make = |names: [&str; 3]| {
            let folder = tempfile::tempdir().unwrap();
            fs::create_dir_all(folder.path().join("sub/deeper")).unwrap();
            fs::create_dir(folder.path().join("empty")).unwrap();
            for name in names {
                fs::write(folder.path().join(name), name).unwrap();
            }
            folder
        };
        let one = packed(make(["b", "sub/deeper/c", ".hidden"]).path());
        let other = packed(make([".hidden", "sub/deeper/c", "b"]).path());
        assert!(one == other, "the order in which files were made does not matter");
        let folder = unpacked(&one, one.len() as u64).unwrap();
        assert_eq!(fs::read_to_string(folder.path().join("sub/deeper/c")).unwrap(), "sub/deeper/c");
        assert!(folder.path().join("empty").is_dir() && folder.path().join(".hidden").is_file());
        assert!(packed(folder.path()) == one);
    }

    /// A zip of one entry.
    fn one(name: &str, options: SimpleFileOptions, bytes: &[u8]) -> Vec<u8> {
        let mut zip = ZipWriter::new(Cursor::new(Vec::new()));
        zip.start_file(name, options).unwrap();
        zip.write_all(bytes).unwrap();
        zip.finish().unwrap().into_inner()
    }

    #[test]
    fn many_files_come_back_as_few_do() {
        let folder = tempfile::tempdir().unwrap();
        for number in 0..=SYNCED_MAX {
            fs::write(folder.path().join(number.to_string()), number.to_string()).unwrap();
        }
        let zip = packed(folder.path());
        let back = unpacked(&zip, zip.len() as u64).unwrap();
        assert_eq!(packed(back.path()), zip);
    }

    #[test]
    fn a_hostile_zip_is_refused() {
        let stored = SimpleFileOptions::DEFAULT.compression_method(CompressionMethod::Stored);
        let refused = |zip: &[u8]| format!("{:#}", unpacked(zip, zip.len() as u64).unwrap_err());
        for name in ["../x", "/x", "a/../../x", "a\\b", "c:x", "a//b", "a\u{7}"] {
            let why = refused(&one(name, stored, b"x"));
            assert!(why.contains("leads elsewhere") || why.contains("not sound"), "{name}: {why}");
        }
        let mut link = ZipWriter::new(Cursor::new(Vec::new()));
        link.add_symlink("link", "/etc/passwd", stored).unwrap();
        assert!(refused(&link.finish().unwrap().into_inner()).contains("is a link"));
        let bomb = one("bomb", stored.compression_method(CompressionMethod::Deflated), &vec![0; 10 << 20]);
        assert!(refused(&bomb).contains("is packed"));
        assert!(refused(b"nonsense").contains("no sound zip"));
        let fine = one("fine", stored, &[7; 1000]);
        assert!(unpacked(&fine, 999).is_err() && unpacked(&fine, 1000).is_ok());
        let mut bad = fine.clone();
        let byte = bad.iter().position(|byte| *byte == 7).unwrap();
        bad[byte] = 8;
        assert!(refused(&bad).contains("cannot unpack"));
    }
}
