//! Which container a control group belongs to.

/// Hexadecimal digits of the number of a container.
const DIGITS: usize = 64;
/// Hexadecimal digits of the number of a task of Amazon ECS.
const TASK_DIGITS: usize = 32;

/// Number of the container whose processes are in the control group of this path (as `/proc/PID/cgroup` has it): the innermost where
/// containers are within containers. Knows what Docker, containerd, CRI-O, Podman, Kubernetes and ECS call them, with the systemd and the
/// cgroupfs driver:
///
/// ```
/// use ebpf_tracer::container_id;
/// let id = "7be0d3f3b39c0a0c0e1e1b6d4e1a8a1c5a9d1f2b3c4d5e6f708192a3b4c5d6e7";
/// assert_eq!(container_id(&format!("/docker/{id}")), Some(id));
/// assert_eq!(container_id(&format!("/system.slice/docker-{id}.scope")), Some(id));
/// assert_eq!(container_id("/system.slice/docker.service"), None);
/// ```
#[must_use]
pub fn container_id(cgroup: &str) -> Option<&str> {
    cgroup.rsplit('/').find_map(of_segment)
}

/// `ID`, `RUNTIME-ID.scope` or `SLICE:RUNTIME:ID`.
fn of_segment(segment: &str) -> Option<&str> {
    let name = segment.strip_suffix(".scope").unwrap_or(segment);
    let name = name.rsplit_once(':').map_or(name, |(_, name)| name);
    match name.rsplit_once('-') {
        // Runs beside a container and looks after it.
        Some((runtime, _)) if runtime.ends_with("conmon") => None,
        Some((_, id)) if is_hexadecimal(id, DIGITS) => Some(id),
        Some((task, number))
            if is_hexadecimal(task, TASK_DIGITS)
                && !number.is_empty()
                && number.bytes().all(|byte| byte.is_ascii_digit()) =>
        {
            Some(name)
        }
        _ => is_hexadecimal(name, DIGITS).then_some(name),
    }
}

fn is_hexadecimal(text: &str, digits: usize) -> bool {
    text.len() == digits && text.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'))
}

#[cfg(test)]
mod tests {
    use super::*;

    const ID: &str = "7be0d3f3b39c0a0c0e1e1b6d4e1a8a1c5a9d1f2b3c4d5e6f708192a3b4c5d6e7";
    const POD: &str = "pod2f3c4d5e-6f70-8192-a3b4-c5d6e7f80912";

    #[test]
    fn every_runtime_and_driver_is_understood() {
        let slice = format!("kubepods-burstable-{}.slice", POD.replace('-', "_"));
        for path in [
            format!("/docker/{ID}"),
            format!("/system.slice/docker-{ID}.scope"),
            format!("/docker/{ID}/system.slice/nginx.service"),
            format!("/docker/{}/docker/{ID}", ID.replace('7', "8")),
            format!("/kubepods/besteffort/{POD}/{ID}"),
            format!("/kubepods.slice/kubepods-burstable.slice/{slice}/cri-containerd-{ID}.scope"),
            format!("/kubepods.slice/kubepods-burstable.slice/{slice}/crio-{ID}.scope"),
            format!("/kubepods.slice/kubepods-burstable.slice/{slice}/crio-{ID}.scope/container"),
            format!("/system.slice/containerd.service/{slice}:cri-containerd:{ID}"),
            format!("/system.slice/nerdctl-{ID}.scope"),
            format!("/machine.slice/libpod-{ID}.scope/container"),
            format!("/user.slice/user-1000.slice/user@1000.service/user.slice/libpod-{ID}.scope"),
            format!("/libpod_parent/libpod-{ID}"),
            format!("/../../{ID}"),
        ] {
            assert_eq!(container_id(&path), Some(ID), "{path}");
        }
        let task = format!("{}-265927825", &ID[..32]);
        assert_eq!(container_id(&format!("/ecs/{}/{task}", &ID[..32])), Some(task.as_str()));
    }

    #[test]
    fn what_is_no_container_has_none() {
        for path in [
            String::new(),
            "/".to_owned(),
            "/user.slice/user-1000.slice/session-2.scope".to_owned(),
            "/system.slice/docker.service".to_owned(),
            format!("/kubepods/besteffort/{POD}"),
            format!("/machine.slice/libpod-conmon-{ID}.scope"),
            format!("/system.slice/crio-conmon-{ID}.scope"),
            format!("/docker/{}", &ID[1..]),
            format!("/docker/{}", ID.to_uppercase()),
            format!("/docker/{}-", &ID[..32]),
        ] {
            assert_eq!(container_id(&path), None, "{path}");
        }
    }
}
