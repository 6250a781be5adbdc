"""A container's own view of the machine: its root file system, mounts, users and processes.

The network is the host's: pods have addresses of their own in 127.64.0.0/10. This keeps services apart by
file system and process tree; it is no security boundary.
"""

from __future__ import annotations

import os
import shutil
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from local_platform.node.runtime import kernel

DEVICES = ("null", "zero", "full", "random", "urandom", "tty")
DEFAULT_PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"


@dataclass(frozen=True)
class Bind:
    """One host path shown at one path of the container."""

    source: str
    target: str
    read_only: bool = False


@dataclass(frozen=True)
class ContainerSpec:
    """Everything the shim needs to start one container. Paths of the host are absolute."""

    folder: str
    lower: str
    argv: tuple[str, ...]
    environment: dict[str, str]
    directory: str = "/"
    uid: int = 0
    gid: int = 0
    hostname: str = "localhost"
    binds: tuple[Bind, ...] = ()
    read_only_root: bool = False
    drop_capabilities: bool = False
    no_new_privileges: bool = False
    terminal: bool = False
    stdin: bool = False
    stdin_once: bool = False
    tmpfs: tuple[str, ...] = field(default=())

    @classmethod
    def from_json(cls, data: dict[str, Any]) -> ContainerSpec:
        values = dict(data)
        values["argv"] = tuple(data["argv"])
        values["binds"] = tuple(Bind(**bind) for bind in data["binds"])
        values["tmpfs"] = tuple(data["tmpfs"])
        return cls(**values)


def enter_user_and_pid_namespaces() -> None:
    """Become root of a new user namespace; the next child is the first process of a new PID namespace."""
    uid, gid = os.geteuid(), os.getegid()
    kernel.unshare(kernel.CLONE_NEWUSER | kernel.CLONE_NEWPID)
    kernel.map_ids(0, 0, uid, gid)


def build(spec: ContainerSpec) -> None:
    """Give the calling process, the container's first, its mounts and host name, and move its root."""
    kernel.unshare(kernel.CLONE_NEWNS | kernel.CLONE_NEWIPC | kernel.CLONE_NEWUTS)
    kernel.mount("none", "/", flags=kernel.MS_REC | kernel.MS_PRIVATE)
    kernel.sethostname(spec.hostname)
    root = mount_root(spec)
    mount_kernel_file_systems(root)
    for path in spec.tmpfs:
        kernel.mount("tmpfs", make_target(root, path, directory=True), "tmpfs", kernel.MS_NOSUID, "mode=1777")
    for bind in spec.binds:
        mount_bind(root, bind)
    move_root(root)
    if spec.read_only_root:
        remount_read_only("/")


def mount_root(spec: ContainerSpec) -> str:
    """The image below, a writable layer of the container above. Images are never written to."""
    folder = Path(spec.folder)
    root, upper, work = folder / "root", folder / "upper", folder / "work"
    for path in (root, upper, work):
        path.mkdir(exist_ok=True)
    options = f"lowerdir={spec.lower},upperdir={upper},workdir={work},userxattr"
    try:
        kernel.mount("overlay", str(root), "overlay", 0, options)
    except OSError:
        # Kernels before 5.11 and some file systems refuse overlays in user namespaces: pay for a copy
        # instead.
        shutil.copytree(spec.lower, root, symlinks=True, dirs_exist_ok=True)
        kernel.mount(str(root), str(root), flags=kernel.MS_BIND | kernel.MS_REC)
    return str(root)


def mount_kernel_file_systems(root: str) -> None:
    hidden = kernel.MS_NOSUID | kernel.MS_NODEV | kernel.MS_NOEXEC
    kernel.mount("proc", make_target(root, "/proc", directory=True), "proc", hidden)
    dev = make_target(root, "/dev", directory=True)
    kernel.mount("tmpfs", dev, "tmpfs", kernel.MS_NOSUID, "mode=755,size=65536k")
    for name in DEVICES:
        mount_bind(root, Bind(f"/dev/{name}", f"/dev/{name}"))
    kernel.mount(
        "devpts",
        make_target(root, "/dev/pts", directory=True),
        "devpts",
        kernel.MS_NOSUID | kernel.MS_NOEXEC,
        "newinstance,ptmxmode=0666,mode=0620",
    )
    kernel.mount("tmpfs", make_target(root, "/dev/shm", directory=True), "tmpfs", hidden, "mode=1777")
    for link, target in (
        ("ptmx", "pts/ptmx"),
        ("fd", "/proc/self/fd"),
        ("stdin", "/proc/self/fd/0"),
        ("stdout", "/proc/self/fd/1"),
        ("stderr", "/proc/self/fd/2"),
    ):
        os.symlink(target, f"{dev}/{link}")
    if os.path.isdir("/sys"):
        mount_bind(root, Bind("/sys", "/sys", read_only=True))


def make_target(root: str, path: str, *, directory: bool) -> str:
    """The place to mount on, inside the root whatever links the image holds (`chroot` semantics)."""
    target = root
    for part in Path(path).parts[1:]:
        following = os.path.join(target, part)
        hops = 0
        while os.path.islink(following):
            link = os.readlink(following)
            base = root if link.startswith("/") else target
            following = os.path.normpath(os.path.join(base, link.lstrip("/")))
            hops += 1
            if hops > 20 or not (following + "/").startswith(root + "/"):
                raise OSError(f"{path} leads out of the container's root; change the image or the mountPath")
        target = following
    if not os.path.lexists(target):
        if directory:
            os.makedirs(target)
        else:
            os.makedirs(os.path.dirname(target), exist_ok=True)
            os.close(os.open(target, os.O_CREAT | os.O_WRONLY, 0o644))
    return target


def mount_bind(root: str, bind: Bind) -> None:
    target = make_target(root, bind.target, directory=os.path.isdir(bind.source))
    kernel.mount(bind.source, target, flags=kernel.MS_BIND | kernel.MS_REC)
    if bind.read_only:
        remount_read_only(target)


def remount_read_only(target: str) -> None:
    # A user namespace may not drop flags that the host set on the mount, so they are repeated.
    present = os.statvfs(target).f_flag
    kept = 0
    for vfs_flag, mount_flag in (
        (os.ST_NOSUID, kernel.MS_NOSUID),
        (os.ST_NODEV, kernel.MS_NODEV),
        (os.ST_NOEXEC, kernel.MS_NOEXEC),
        (os.ST_NOATIME, kernel.MS_NOATIME),
        (os.ST_NODIRATIME, kernel.MS_NODIRATIME),
        (os.ST_RELATIME, kernel.MS_RELATIME),
    ):
        kept |= mount_flag if present & vfs_flag else 0
    kernel.mount("none", target, flags=kernel.MS_REMOUNT | kernel.MS_BIND | kernel.MS_RDONLY | kept)


def move_root(root: str) -> None:
    """pivot_root(2), section "pivot_root(".", ".")": the old root ends below the new one and is detached."""
    os.chdir(root)
    kernel.pivot_root(".", ".")
    kernel.umount(".", kernel.MNT_DETACH)
    os.chdir("/")


def become_user(uid: int, gid: int) -> None:
    """Be `uid` inside. The host's user stays the same, so files of the container stay readable to it."""
    if uid == 0 and gid == 0:
        return
    kernel.unshare(kernel.CLONE_NEWUSER)
    kernel.map_ids(uid, gid, 0, 0)


def limit_privileges(spec: ContainerSpec) -> None:
    if spec.drop_capabilities:
        last = int(Path("/proc/sys/kernel/cap_last_cap").read_text())
        for capability in range(last + 1):
            kernel.prctl(kernel.PR_CAPBSET_DROP, capability)
    if spec.no_new_privileges:
        kernel.prctl(kernel.PR_SET_NO_NEW_PRIVS, 1)


def find_program(name: str, environment: dict[str, str]) -> str:
    """The path of the program as the container sees it.

    Raises:
        FileNotFoundError: in the words of runc, which people search for.
    """
    if "/" in name:
        if os.path.exists(name):
            return name
        raise FileNotFoundError(f'exec: "{name}": stat {name}: no such file or directory')
    for folder in environment.get("PATH", DEFAULT_PATH).split(":"):
        path = os.path.join(folder or ".", name)
        if os.path.isfile(path) and os.access(path, os.X_OK):
            return path
    raise FileNotFoundError(f'exec: "{name}": executable file not found in $PATH')
