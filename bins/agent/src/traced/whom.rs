//! Whom the programs in the kernel follow.

use std::collections::BTreeSet;
use std::path::Path;
use std::time::{Duration, Instant};

use ebpf_tracer::{
    ControlGroupError, Filter, Kernel, KernelLimits, Names, Proc, control_groups, is_first_namespace, own_number,
};
use tracing::warn;

use super::surroundings::{PROC, follow_with_children};
use crate::args::TraceArgs;
use crate::command::Watched;
use crate::failure::Failure;

/// How often control groups are looked for.
const AGAIN: Duration = Duration::from_secs(2);

/// Who is observed, and on which connections.
pub(crate) struct Whom {
    pub(crate) who: Who,
    /// Paths of control groups, or numbers of containers. All, if there is none.
    cgroups: Vec<String>,
    /// All, if there is none.
    ports: BTreeSet<u16>,
}

/// Whose processes.
pub(crate) enum Who {
    /// All of this machine.
    All,
    /// These, and those they started or start.
    Only(BTreeSet<u32>),
    /// A command that waits to begin, and those it starts. Everything ends with it.
    Command(Watched),
}

impl Whom {
    /// As the command line says it; a command stands for processes.
    pub(crate) fn new(options: &TraceArgs, command: Option<Watched>) -> Self {
        let who = match command {
            Some(command) => Who::Command(command),
            None if options.pid.is_empty() => Who::All,
            None => Who::Only(options.pid.iter().copied().collect()),
        };
        Self { who, cgroups: options.cgroup.clone(), ports: options.port.iter().copied().collect() }
    }

    /// Whether it is the whole machine.
    pub(crate) fn is_everything(&self) -> bool {
        matches!(self.who, Who::All) && self.cgroups.is_empty()
    }

    /// What the kernel is told of it. Processes are named without those that they started.
    pub(super) fn filter(&self) -> Result<Filter, Failure> {
        let processes = match &self.who {
            Who::All => Names::All,
            Who::Only(named) => Names::Only(named.clone()),
            Who::Command(command) => Names::Only(BTreeSet::from([command.pid()])),
        };
        let cgroups = numbers(&self.cgroups).map_err(|error| not_found(&error))?;
        Ok(Filter { processes, cgroups: only(cgroups), ports: only(self.ports.clone()) })
    }
}

/// Of all control groups of these names.
fn numbers(names: &[String]) -> Result<BTreeSet<u64>, ControlGroupError> {
    let mut numbers = BTreeSet::new();
    for name in names {
        numbers.append(&mut control_groups(Path::new(PROC), name)?);
    }
    Ok(numbers)
}

fn not_found(error: &ControlGroupError) -> Failure {
    match error {
        ControlGroupError::Io(source) => Failure::from_io("cannot look through the control groups", source),
        other => Failure::unavailable(other.to_string()),
    }
}

/// All of them, if none is named.
fn only<T>(named: BTreeSet<T>) -> Names<T> {
    if named.is_empty() { Names::All } else { Names::Only(named) }
}

/// Room for what a filter names.
pub(super) fn limits(filter: &Filter, ring_bytes: u32) -> KernelLimits {
    let limits = KernelLimits { ring_bytes, ..KernelLimits::default() };
    let Names::Only(cgroups) = &filter.cgroups else { return limits };
    KernelLimits { cgroups: limits.cgroups.max(u32::try_from(cgroups.len()).unwrap_or(u32::MAX)), ..limits }
}

/// Control groups come and go: a service that begins again has another one under the same name.
pub(super) struct Groups {
    names: Vec<String>,
    filter: Filter,
    looked: Instant,
}

impl Groups {
    /// `None` if none is named.
    pub(super) fn new(whom: &Whom, filter: &Filter) -> Option<Self> {
        let (names, filter, looked) = (whom.cgroups.clone(), filter.clone(), Instant::now());
        (!names.is_empty()).then_some(Self { names, filter, looked })
    }

    /// Looks for them again from time to time, and follows those that there are.
    pub(super) fn look(&mut self, kernel: &mut Kernel) {
        if self.looked.elapsed() < AGAIN {
            return;
        }
        self.looked = Instant::now();
        // While there is none of this name, the one that there was stays.
        let Ok(found) = numbers(&self.names) else { return };
        let found = only(found);
        if found == self.filter.cgroups {
            return;
        }
        self.filter.cgroups = found;
        if let Err(error) = kernel.follow(&self.filter) {
            warn!("control groups that are new cannot be followed: {error}");
        }
        if let Names::Only(named) = &self.filter.processes {
            let proc = Proc::default();
            let named = named.iter().copied().filter(|pid| proc.process(*pid).is_ok()).collect();
            if let Err(error) = follow_with_children(kernel, named) {
                warn!("{error}");
            }
        }
    }
}

/// Leaves this process itself out where the kernel does not know it by the number that it knows itself. Whether numbers of processes are
/// the kernel's here.
pub(super) fn leave_out_itself(kernel: &mut Kernel, filter: &mut Filter) -> Result<bool, Failure> {
    if is_first_namespace(Path::new(PROC)) {
        return Ok(true);
    }
    if filter.processes != Names::All {
        return Err(Failure::unavailable(
            "numbers of processes are not the kernel's here, so -p and a command cannot be followed: run in the process namespace of the host (docker run --pid=host)",
        ));
    }
    let own = own_number(kernel)
        .map_err(|error| Failure::unavailable(format!("cannot tell which process this is: {error}")))?;
    filter.processes = Names::Except(BTreeSet::from([own]));
    warn!(
        own_number = own,
        "in this process namespace /proc tells of other processes than the kernel: names are short, and libraries loaded from elsewhere than the system's folders are not looked for; run in that of the host (docker run --pid=host)"
    );
    Ok(false)
}
