//! Finds and starts programs.

use std::ffi::OsStr;
use std::path::PathBuf;
use std::sync::{OnceLock, mpsc};

use tokio::process::{Child, Command};

/// A command for [`Process::spawn`](crate::Process::spawn) that ends even if this program is
/// killed.
///
/// That needs util-linux's `setpriv`. Without it (macOS), the child outlives a killed program.
pub fn command(program: impl AsRef<OsStr>) -> Command {
    static SETPRIV: OnceLock<Option<PathBuf>> = OnceLock::new();
    match SETPRIV.get_or_init(|| find_program("setpriv")) {
        Some(setpriv) => {
            let mut command = Command::new(setpriv);
            command.args(["--pdeathsig", "TERM", "--"]).arg(program);
            command
        }
        None => Command::new(program),
    }
}

/// The program `name` on the `PATH`.
pub fn find_program(name: &str) -> Option<PathBuf> {
    std::env::split_paths(&std::env::var_os("PATH")?)
        .map(|dir| dir.join(name))
        .find(|path| path.is_file())
}

/// Starts `command` from a thread that lives as long as this program.
///
/// `setpriv --pdeathsig` watches the parent thread, not the process (prctl(2), `PR_SET_PDEATHSIG`).
/// A test's thread ends long before its program.
pub(crate) fn spawn_from_lasting_thread(mut command: Command) -> std::io::Result<Child> {
    type Job = Box<dyn FnOnce() + Send>;
    static JOBS: OnceLock<mpsc::Sender<Job>> = OnceLock::new();
    let jobs = JOBS.get_or_init(|| {
        let (jobs, queue) = mpsc::channel::<Job>();
        std::thread::spawn(move || queue.into_iter().for_each(|job| job()));
        jobs
    });
    let runtime = tokio::runtime::Handle::current();
    let (done, child) = mpsc::sync_channel(1);
    let job = move || {
        let _entered = runtime.enter();
        let _ = done.send(command.spawn());
    };
    jobs.send(Box::new(job))
        .expect("the thread outlives its jobs");
    child.recv().expect("the job sends its result")
}
