"""Describe a sandbox to bubblewrap: what a run sees of the machine, and with which rights."""

from __future__ import annotations

import json
import os
import secrets
import sys
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from datasets_app.runners.base import INPUT_DIR, OUTPUT_DIR, RunSpec

# Uids and gids for runs of a server that is root: far from those of people and of services.
_FIRST_UID: Final = 2_000_000
_UIDS: Final = 65_536
_NOBODY: Final = 65_534
_INSIDE_UID: Final = 1000

# Of /etc only what programs need to start, resolve names and check certificates; nothing that holds a secret.
_ETC: Final = (
    "alternatives",
    "ca-certificates",
    "crypto-policies",
    "fonts",
    "ld.so.cache",
    "ld.so.conf",
    "ld.so.conf.d",
    "localtime",
    "mime.types",
    "nsswitch.conf",
    "pki/ca-trust",
    "pki/tls/certs",
    "protocols",
    "services",
    "ssl/certs",
    "ssl/openssl.cnf",
)
_SYSTEM: Final = ("/usr", "/bin", "/sbin", "/lib", "/lib32", "/lib64", "/libx32")
_LAUNCHER: Final = Path(__file__).with_name("launcher.py").read_bytes()
_MIB: Final = 1024 * 1024
_DEFAULT_PROCESSES: Final = 4096


@dataclass(frozen=True, slots=True)
class Identity:
    """Who the run is: as root the server gives each run a uid of its own, otherwise runs have the server's uid."""

    uid: int
    is_root: bool

    @classmethod
    def choose(cls) -> Identity:
        """Pick an identity for a run that this process starts."""
        if os.geteuid() != 0:
            return cls(_INSIDE_UID, is_root=False)
        uid = _FIRST_UID + secrets.randbelow(_UIDS)
        # In a container that maps only some uids, an unmapped one can't own files.
        return cls(uid if _is_mapped(uid) else _NOBODY, is_root=True)


@dataclass(frozen=True, slots=True)
class Shown:
    """What of the machine every run sees beside the system's own folders; see LocalRunner."""

    python: Path
    host_paths: tuple[Path, ...]
    hidden_paths: tuple[Path, ...]
    devices: tuple[Path, ...]

    @property
    def folders(self) -> list[Path]:
        """The folders that are bound at their own path."""
        return [path for path in dict.fromkeys([*python_paths(self.python), *self.host_paths]) if path.exists()]


@dataclass(slots=True)
class Arguments:
    """bubblewrap's arguments, and the contents of the small files that it makes. Later mounts cover earlier ones."""

    words: list[str] = field(default_factory=list)
    files: dict[str, bytes] = field(default_factory=dict)

    def add(self, *words: str | Path) -> None:
        """Append words."""
        self.words += map(str, words)

    def add_dir(self, path: str | Path) -> None:
        """Make a folder, and those above it, that any uid may enter."""
        for above in [*reversed(Path(path).parents), Path(path)]:
            if above != Path("/"):
                self.add("--perms", "0755", "--dir", above)

    def bind(self, source: Path, target: str | Path, how: str = "--ro-bind") -> None:
        """Show a file or folder of the machine inside."""
        self.add_dir(Path(target).parent)
        self.add(how, source, target)


def describe_sandbox(spec: RunSpec, identity: Identity, shown: Shown) -> Arguments:
    """Return how to run `spec`: everything up to, and without, the program to start."""
    args = Arguments()
    _add_rights(args, spec, identity)
    for name in _SYSTEM:
        _add_system(args, Path(name))
    _add_etc(args, spec, identity)
    # Before the folders of the machine, which may lie below /tmp.
    args.add("--proc", "/proc", "--dev", "/dev")
    # These live in memory, so each may take as much as the run: the supervisor counts them too.
    size = spec.limits.memory_bytes or os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") // 2
    for target in ("/tmp", "/dev/shm"):  # noqa: S108 - the sandbox's own
        args.add("--size", str(size), "--perms", "1777", "--tmpfs", target)
    for path in shown.folders:
        args.bind(path, path)
    for path in shown.hidden_paths:
        if any(path.is_relative_to(folder) for folder in (Path("/usr"), *shown.folders)):
            args.add("--tmpfs", path)
    for device in shown.devices:
        args.bind(device, device, "--dev-bind-try")
    args.add_dir("/var")
    args.add("--symlink", "../tmp", "/var/tmp")  # noqa: S108
    args.add_dir(INPUT_DIR)
    for mount in spec.mounts:
        args.bind(mount.host_path, f"{INPUT_DIR}/{mount.name}")
    args.bind(spec.output_dir, OUTPUT_DIR, "--bind")
    args.add_dir("/run/flexai")
    args.files |= {"/run/flexai/launcher.py": _LAUNCHER, "/run/flexai/plan.json": _plan(spec, identity, shown.python)}
    return args


def finish(args: Arguments, identity: Identity, python: Path) -> None:
    """Close the sandbox after its files were added, and append the program to start."""
    # Last, since bubblewrap still makes mount points until then. Devices stay usable.
    args.add("--remount-ro", "/dev", "--remount-ro", "/", "--chdir", OUTPUT_DIR, "--")
    if identity.is_root:
        drop = ("--clear-groups", "--bounding-set=-all", "--inh-caps=-all", "--no-new-privs")
        args.add("setpriv", "--reuid", str(identity.uid), "--regid", str(identity.uid), *drop, "--")
    args.add(python.resolve(), "-I", "-S", "/run/flexai/launcher.py", "/run/flexai/plan.json")


def python_paths(python: Path) -> list[Path]:
    """Return the folders outside /usr that an interpreter needs, following its links."""
    found = []
    hop = python.absolute()
    for _ in range(16):
        prefix = hop.parent.parent
        if not prefix.is_relative_to("/usr") and prefix != Path("/"):
            # A stray link, say ~/bin/python, must not show the whole home.
            is_python = (prefix / "pyvenv.cfg").exists() or any(prefix.glob("lib/python3*/os.py"))
            found.append(prefix if is_python else hop)
        if not hop.is_symlink():
            break
        hop = Path(os.path.normpath(hop.parent / hop.readlink()))
    return found


def _add_rights(args: Arguments, spec: RunSpec, identity: Identity) -> None:
    args.add(
        "--die-with-parent", "--new-session", "--unshare-pid", "--unshare-ipc", "--unshare-uts", "--unshare-cgroup-try"
    )
    args.add("--hostname", spec.name, "--cap-drop", "ALL")
    if not spec.allow_network:
        args.add("--unshare-net")
    if identity.is_root:
        # No user namespace: root makes the mounts, which the uid that setpriv changes to could never make or undo.
        for capability in ("CAP_SETUID", "CAP_SETGID", "CAP_SETPCAP"):
            args.add("--cap-add", capability)
    else:
        args.add("--unshare-user", "--uid", str(identity.uid), "--gid", str(identity.uid))


def _add_system(args: Arguments, path: Path) -> None:
    if path.is_symlink():
        args.add("--symlink", path.readlink(), path)
    elif path.is_dir():
        args.bind(path, path)


def _add_etc(args: Arguments, spec: RunSpec, identity: Identity) -> None:
    args.add_dir("/etc")
    for name in _ETC:
        path = Path("/etc") / name
        if path.exists():
            args.bind(path, path)
    names = f"root:x:0:0:root:/:/bin/sh\njob:x:{identity.uid}:{identity.uid}:job:/tmp:/bin/sh\n"
    args.files["/etc/passwd"] = names.encode()
    args.files["/etc/group"] = f"root:x:0:\njob:x:{identity.uid}:\n".encode()
    if not spec.allow_network:
        args.files["/etc/hosts"] = f"127.0.0.1 localhost {spec.name}\n::1 localhost\n".encode()
        return
    for name in ("hosts", "resolv.conf", "gai.conf"):
        # Often a link into /run, which the sandbox does not have: show the file itself.
        path = (Path("/etc") / name).resolve()
        if path.exists():
            args.bind(path, f"/etc/{name}")


def _plan(spec: RunSpec, identity: Identity, python: Path) -> bytes:
    limits = spec.limits
    # Without root, the sandbox's own first process has the same uid and counts.
    processes = (limits.max_processes or _DEFAULT_PROCESSES) + (not identity.is_root)
    rlimits = {"RLIMIT_CORE": (0, 0), "RLIMIT_NPROC": (processes, processes)}
    if limits.memory_bytes is not None:
        # The supervisor enforces the limit; this bounds what one process can grab between two looks.
        data = limits.memory_bytes + 1024 * _MIB
        rlimits["RLIMIT_DATA"] = (data, data)
    if limits.cpu_seconds is not None:
        rlimits["RLIMIT_CPU"] = (limits.cpu_seconds + 1, limits.cpu_seconds + 5)
    if limits.output_bytes is not None:
        rlimits["RLIMIT_FSIZE"] = (limits.output_bytes, limits.output_bytes)
    env = {
        "PATH": f"{python.absolute().parent}:/usr/local/bin:/usr/bin:/bin:/usr/local/sbin:/usr/sbin:/sbin",
        "HOME": "/tmp",  # noqa: S108
        "LANG": "C.UTF-8",
        **spec.env,
        "FLEXAI_INPUT_DIR": INPUT_DIR,
        "FLEXAI_OUTPUT_DIR": OUTPUT_DIR,
        "FLEXAI_JOB_NAME": spec.name,
    }
    return json.dumps({"command": spec.command, "env": env, "limits": rlimits}).encode()


def _is_mapped(uid: int) -> bool:
    return any(first <= uid < first + count for first, count in _uid_map())


def _uid_map() -> Iterator[tuple[int, int]]:
    for line in Path("/proc/self/uid_map").read_text().splitlines():
        first, _, count = map(int, line.split())
        yield first, count


def default_python() -> Path:
    """Return the interpreter that this server runs on."""
    return Path(sys.executable)
