//! What a process uses, as the kernel counts it.

use anyhow::Context as _;

/// Memory and processor time of one process.
#[derive(Debug, Clone, Copy, serde::Serialize)]
pub(crate) struct Usage {
    /// Resident memory now, in bytes.
    pub(crate) resident: u64,
    /// The most resident memory so far, in bytes.
    pub(crate) peak: u64,
}

impl Usage {
    /// Reads `/proc/PID/status`.
    pub(crate) fn of(pid: u32) -> anyhow::Result<Self> {
        let path = format!("/proc/{pid}/status");
        let status = std::fs::read_to_string(&path).with_context(|| format!("reading {path}"))?;
        let kib = |key: &str| -> anyhow::Result<u64> {
            let line = status.lines().find_map(|line| line.strip_prefix(key));
            let number = line.and_then(|rest| rest.trim().strip_suffix(" kB")).map(str::trim);
            Ok(number.with_context(|| format!("{path} has no {key}"))?.parse::<u64>()? * 1024)
        };
        Ok(Self { resident: kib("VmRSS:")?, peak: kib("VmHWM:")? })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn this_process_uses_memory() {
        let usage = Usage::of(std::process::id()).unwrap();
        assert!(usage.resident > 0 && usage.peak >= usage.resident, "{usage:?}");
    }
}
