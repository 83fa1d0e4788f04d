//! What a stack's owner that was killed may have left running.

use std::{
    fs,
    path::{Path, PathBuf},
    time::Duration,
};

use anyhow::bail;
use rustix::process::Signal;

use crate::{
    claim::Claim,
    home::{MARK, RECORD_ENDING, SERVERS},
    identity::Identity,
    waiting,
};

/// PostgreSQL gives back its shared memory on SIGQUIT, in well under this time.
const QUIT_WITHIN: Duration = Duration::from_secs(5);
const KILLED_WITHIN: Duration = Duration::from_secs(10);

/// Ends every process of an earlier stack in the claimed directory, and tells how many there were.
///
/// Since nobody else holds the claim, these are: the recorded servers (by number, start time and boot),
/// what they started, and any process that carries this very directory as its mark or is a PostgreSQL
/// process working in the stack's data directory. The name of a program alone never decides.
pub(crate) async fn end(claim: &Claim) -> anyhow::Result<usize> {
    let found = all(claim.directory());
    let (postgres, others): (Vec<_>, Vec<_>) = found.iter().partition(|one| one.runs("postgres"));
    for one in others {
        one.signal(Signal::KILL);
    }
    for one in &postgres {
        one.signal(Signal::QUIT);
    }
    waiting::until(QUIT_WITHIN, async || Ok((!postgres.iter().any(|one| one.is_running())).then_some(())))
        .await?;
    let gone = waiting::until(KILLED_WITHIN, async || {
        let left = all(claim.directory());
        for one in &left {
            one.signal(Signal::KILL);
        }
        Ok(left.is_empty().then_some(()))
    });
    if gone.await?.is_none() {
        bail!("processes of an earlier run in {} do not go away", claim.directory().display());
    }
    for record in record_files(claim.directory()) {
        fs::remove_file(record)?;
    }
    Ok(found.len())
}

fn all(directory: &Path) -> Vec<Identity> {
    let recorded = recorded(directory);
    let mark = format!("{MARK}={}", directory.display());
    let data = postgres_data(directory);
    let mut found: Vec<Identity> = recorded.iter().flat_map(Identity::descendants).collect();
    found.extend(Identity::everyone().into_iter().filter(|one| {
        recorded.contains(one)
            || one.has_environment(&mark)
            || data.iter().any(|directory| one.runs("postgres") && one.works_in(directory))
    }));
    found.sort();
    found.dedup();
    found
}

fn recorded(directory: &Path) -> Vec<Identity> {
    // A record cut short by a full disk says nothing; the mark finds the process as well.
    let read = |path: PathBuf| serde_json::from_slice::<Identity>(&fs::read(path).ok()?).ok();
    record_files(directory).into_iter().filter_map(read).filter(Identity::is_running).collect()
}

fn record_files(directory: &Path) -> Vec<PathBuf> {
    entries(directory).filter(|path| path.to_string_lossy().ends_with(RECORD_ENDING)).collect()
}

fn postgres_data(directory: &Path) -> Vec<PathBuf> {
    let Ok(servers) = directory.join(SERVERS).canonicalize() else { return Vec::new() };
    entries(&servers).map(|version| version.join("data")).filter(|data| data.is_dir()).collect()
}

fn entries(directory: &Path) -> impl Iterator<Item = PathBuf> {
    fs::read_dir(directory).into_iter().flatten().flatten().map(|entry| entry.path())
}

#[cfg(test)]
mod tests {
    use std::process::{Child, Command};

    use super::*;

    fn sleeper(directory: &Path, mark: &str) -> Child {
        Command::new("sleep").arg("600").current_dir(directory).env(MARK, mark).spawn().unwrap()
    }

    fn identity(child: &Child) -> Identity {
        Identity::of_child(i32::try_from(child.id()).unwrap()).unwrap()
    }

    /// The child runs another program than this test only once it has replaced itself.
    async fn runs_sleep(child: &Child) {
        let limit = Duration::from_secs(10);
        let started = waiting::until(limit, async || Ok(identity(child).runs("sleep").then_some(()))).await;
        started.unwrap().unwrap();
    }

    #[tokio::test]
    async fn recorded_and_marked_processes_are_ended_and_no_others() {
        let directory = tempfile::tempdir().unwrap();
        let claim = Claim::try_new(directory.path()).unwrap().unwrap();
        let own = claim.directory().to_str().unwrap().to_owned();
        let mut marked = sleeper(claim.directory(), &own);
        let mut recorded = sleeper(claim.directory(), "");
        let mut of_another_stack = sleeper(claim.directory(), &format!("{own}-2"));
        let mut reused_number = sleeper(claim.directory(), "");
        for child in [&marked, &recorded, &of_another_stack, &reused_number] {
            runs_sleep(child).await;
        }
        let record = |name: &str, text: Vec<u8>| {
            fs::write(claim.directory().join(format!("{name}{RECORD_ENDING}")), text).unwrap();
        };
        record("rabbitmq", serde_json::to_vec(&identity(&recorded)).unwrap());
        record("epmd", serde_json::to_vec(&identity(&reused_number).earlier()).unwrap());

        assert_eq!(end(&claim).await.unwrap(), 2);

        assert!(!marked.wait().unwrap().success());
        assert!(!recorded.wait().unwrap().success());
        assert!(identity(&of_another_stack).is_running());
        assert!(identity(&reused_number).is_running());
        assert!(record_files(claim.directory()).is_empty());
        for child in [&mut of_another_stack, &mut reused_number] {
            child.kill().unwrap();
            child.wait().unwrap();
        }
    }
}
