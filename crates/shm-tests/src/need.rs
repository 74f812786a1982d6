//! Tests that need something special of the machine.
//!
//! A test whose need is missing shows as ignored, with what is missing and how to give it; it never
//! shows as passed. With `SHMRING_REQUIRE=all` in the environment it fails instead; with
//! `SHMRING_REQUIRE=all-but-root` it fails unless all that is missing is root.

use crate::peer::{self, Role};
use libtest_mimic::{Arguments, Failed, Trial};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::OnceLock;

/// One test.
#[derive(Debug)]
pub struct Test {
    /// Its name.
    pub name: &'static str,
    /// All that it can not do without.
    pub needs: Vec<Need>,
    /// Panics when it fails.
    pub body: fn(),
}

/// Something that not every machine has.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Need {
    /// The rights of root.
    Root,
    /// A mount namespace of one's own: root, or a user namespace. See [`mount_namespace`].
    Mounts,
    /// A pid namespace of one's own: root, or a user namespace. See [`pid_namespace`].
    Pids,
    /// A program on the search path.
    Program(&'static str),
    /// A file system at this place that is written to a disk.
    Disk(PathBuf),
    /// Permission to trace one's own children.
    Trace,
    /// Two free huge pages of some size. Never required: what is reserved for them is lost for everything else, so it
    /// is for whoever owns the machine to give.
    HugePages,
}

impl Need {
    /// What is missing and how to give it; `None` when all is there.
    pub fn missing(&self) -> Option<String> {
        match self {
            Self::Root => (!is_root()).then(|| "root, give it by sudo".to_owned()),
            Self::Mounts => {
                static ABLE: OnceLock<bool> = OnceLock::new();
                let able = *ABLE.get_or_init(|| {
                    let wrapper = mount_namespace();
                    let command = "mount -t tmpfs none /mnt";
                    succeeds(Command::new(wrapper[0]).args(&wrapper[1..]).args(["sh", "-c", command]))
                });
                let how = "a mount namespace, give it by sudo or sysctl kernel.unprivileged_userns_clone=1";
                (!able).then(|| how.to_owned())
            }
            Self::Pids => {
                static ABLE: OnceLock<bool> = OnceLock::new();
                let able = *ABLE.get_or_init(|| {
                    let wrapper = pid_namespace();
                    let command = "test $$ = 1 && echo 100 > /proc/sys/kernel/ns_last_pid";
                    succeeds(Command::new(wrapper[0]).args(&wrapper[1..]).args(["sh", "-c", command]))
                });
                let how = "a pid namespace, give it by sudo or sysctl kernel.unprivileged_userns_clone=1";
                (!able).then(|| how.to_owned())
            }
            Self::Program(program) => {
                let found = std::env::var_os("PATH").is_some_and(|path| {
                    std::env::split_paths(&path).any(|directory| directory.join(program).is_file())
                });
                (!found).then(|| format!("{program}, give it by installing it"))
            }
            Self::Disk(path) => (!is_on_disk(path))
                .then(|| format!("a disk at {}, give it by CARGO_TARGET_DIR", path.display())),
            Self::HugePages => (!shm_core::huge::pools().iter().any(|pool| pool.free_pages >= 2))
                .then(|| "two huge pages, give them by sysctl vm.nr_hugepages=2".to_owned()),
            Self::Trace => {
                let scope = std::fs::read_to_string("/proc/sys/kernel/yama/ptrace_scope");
                let refused =
                    scope.is_ok_and(|scope| scope.trim() == "3" || scope.trim() == "2" && !is_root());
                refused.then(|| "ptrace, give it by sysctl kernel.yama.ptrace_scope=1".to_owned())
            }
        }
    }
}

/// What becomes of a test.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// All it needs is there.
    Run,
    /// Something is missing.
    Ignore(String),
    /// Something is missing and was required.
    Fail(String),
}

/// Judges a test by what is missing for it.
pub fn judge(missing: &[String], required: bool) -> Verdict {
    match (missing, required) {
        ([], _) => Verdict::Run,
        (missing, false) => Verdict::Ignore(format!("needs {}", missing.join("; "))),
        (missing, true) => Verdict::Fail(format!("needs {}", missing.join("; "))),
    }
}

/// The program and arguments that run another program in a mount namespace of its own.
pub fn mount_namespace() -> &'static [&'static str] {
    if is_root() { &["unshare", "--mount"] } else { &["unshare", "--map-root-user", "--mount"] }
}

/// The program and arguments that run another program as the first process of a pid namespace of its own, which is
/// killed with it.
pub fn pid_namespace() -> &'static [&'static str] {
    if is_root() {
        &["unshare", "--pid", "--fork", "--kill-child", "--mount-proc"]
    } else {
        &["unshare", "--map-root-user", "--pid", "--fork", "--kill-child", "--mount-proc"]
    }
}

/// Plays a role if this process was started for one; runs the tests otherwise, and does not return.
pub fn run(roles: &[(&str, Role)], tests: Vec<Test>) {
    if peer::play(roles) {
        return;
    }
    let mut arguments = Arguments::from_args();
    // One after the other: a process that another thread starts holds, until its exec, a copy of every
    // descriptor of this one with the locks on it, and what was just closed seems in use for a moment.
    arguments.test_threads = Some(1);
    let require = std::env::var("SHMRING_REQUIRE").unwrap_or_default();
    let mut ignored = Vec::new();
    let mut trials = Vec::new();
    for test in tests {
        let missing: Vec<String> = test.needs.iter().filter_map(Need::missing).collect();
        let can_be_required = !test.needs.contains(&Need::HugePages);
        let required = can_be_required
            && (require == "all" || require == "all-but-root" && !test.needs.contains(&Need::Root));
        let name = test.name.split_once("::").map_or(test.name, |(_, name)| name).to_owned();
        trials.push(match judge(&missing, required) {
            Verdict::Run => Trial::test(name, move || {
                (test.body)();
                Ok(())
            }),
            Verdict::Fail(why) => Trial::test(name, move || Err(Failed::from(why))),
            Verdict::Ignore(why) => {
                ignored.push(format!("ignored: {name} {why}"));
                Trial::test(name, move || Err(Failed::from(why))).with_ignored_flag(true)
            }
        });
    }
    let conclusion = libtest_mimic::run(&arguments, trials);
    if !arguments.list {
        ignored.iter().for_each(|line| println!("{line}"));
    }
    conclusion.exit()
}

fn is_root() -> bool {
    rustix::process::geteuid().is_root()
}

fn is_on_disk(path: &Path) -> bool {
    const IN_MEMORY: [i64; 2] = [0x0102_1994, 0x8584_58f6]; // tmpfs, ramfs
    #[allow(clippy::unnecessary_cast)] // the field's width differs between targets
    rustix::fs::statfs(path).is_ok_and(|found| !IN_MEMORY.contains(&(found.f_type as i64)))
}

fn succeeds(command: &mut Command) -> bool {
    command.stdout(Stdio::null()).stderr(Stdio::null()).status().is_ok_and(|status| status.success())
}
