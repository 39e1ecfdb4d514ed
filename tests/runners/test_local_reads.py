"""A job reads its input, writes its output and sees nothing else."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.runners.conftest import Bench


def test_it_works(bench: Bench, images: Path) -> None:
    outcome = bench.shell(
        "cd /input && find . -type f | sort | xargs sha256sum > /output/sums; pwd; echo to-err >&2; ls /input",
        mounts={"images": images, "labels_2": images},
    )
    assert outcome.succeeded, outcome
    assert bench.log.splitlines() == ["/input", "to-err", "images", "labels_2"]
    assert len((bench.output / "sums").read_text().splitlines()) == 6
    assert "./images/日本/sub/übung.bin" in (bench.output / "sums").read_text()


def test_it_starts_in_output(bench: Bench) -> None:
    assert bench.shell("pwd; echo kept > model.bin").succeeded
    assert bench.log == "/output\n"
    assert (bench.output / "model.bin").read_text() == "kept\n"


def test_the_environment_is_exactly_what_was_given(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FLEXAI_SECRET_KEY", "do-not-tell")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "do-not-tell")
    env = {
        "EPOCHS": "3",
        "TEXT": "two\nlines 'quoted' $HOME",
        "LD_PRELOAD": "/output/evil.so",
        "FLEXAI_JOB_NAME": "forged",
    }
    assert bench.python("import os; print(sorted(os.environ.items()))", env=env).succeeded
    told = dict(eval(bench.log.splitlines()[-1]))  # noqa: S307 - printed by the line above
    path = told.pop("PATH")
    assert path.endswith("/usr/local/bin:/usr/bin:/bin:/usr/local/sbin:/usr/sbin:/sbin")
    assert told == env | {
        "FLEXAI_INPUT_DIR": "/input",
        "FLEXAI_OUTPUT_DIR": "/output",
        "FLEXAI_JOB_NAME": "job-1",
        "HOME": "/tmp",  # noqa: S108
        "LANG": "C.UTF-8",
    }


def test_no_process_shows_the_environment_outside(bench: Bench) -> None:
    """Nor while the sandbox is being set up: only the job's own process carries it."""
    shown = []

    def look() -> bool:
        for folder in Path("/proc").glob("[0-9]*"):
            try:
                if b"hf_secret_4711" in (folder / "cmdline").read_bytes():
                    shown.append(folder.name)
            except OSError:
                continue
        return False

    assert bench.shell("sleep 1.5", env={"HF_TOKEN": "hf_secret_4711"}, should_stop=look).succeeded
    assert shown == []


def test_it_sees_only_its_own_processes(bench: Bench) -> None:
    assert bench.shell("ls -d /proc/[0-9]* | wc -l; hostname", name="my_job").succeeded
    count, hostname = bench.log.split()
    assert int(count) < 8
    assert hostname == "my_job"


def test_it_sees_nothing_of_the_machine(bench: Bench, tmp_path: Path) -> None:
    secret = tmp_path / "secret"
    secret.write_text("x")
    assert bench.shell(f"cat {secret}; cat /etc/shadow; ls /home /root/.ssh {tmp_path}; ls /etc").exit_code == 0
    assert bench.log.count("No such file") == 5
    assert "\npasswd\n" in bench.log


def test_its_data_folder_is_hidden_inside_a_shown_one(tmp_path: Path) -> None:
    from datasets_app.runners.local import LocalRunner

    (tmp_path / "opt" / "data").mkdir(parents=True)
    (tmp_path / "opt" / "tool").write_text("tool")
    (tmp_path / "opt" / "data" / "secret_key").write_text("secret")
    bench = Bench(tmp_path, LocalRunner(host_paths=[tmp_path / "opt"], hidden_paths=[tmp_path / "opt" / "data"]))
    bench.shell(f"cd {tmp_path}/opt; cat tool; ls data; cat data/secret_key")
    assert "secret\n" not in bench.log
    assert bench.log.startswith("tool")


def test_no_network_unless_allowed(bench: Bench) -> None:
    script = "import socket; print(sorted(name for _, name in socket.if_nameindex()))"
    assert bench.python(script).succeeded
    assert bench.log == "['lo']\n"
    outcome = bench.python("import socket; socket.create_connection(('192.0.2.1', 80), 3)")
    assert outcome.exit_code == 1
    assert "Network is unreachable" in bench.log


def test_the_network_when_allowed(bench: Bench) -> None:
    script = "import socket; print(sorted(name for _, name in socket.if_nameindex()))"
    assert bench.python(script, allow_network=True).succeeded
    import socket

    assert bench.log == f"{sorted(name for _, name in socket.if_nameindex())}\n"


def test_it_has_no_rights(bench: Bench) -> None:
    assert bench.shell("grep -E '^(Cap|NoNewPrivs)' /proc/self/status; id -u").succeeded
    lines = bench.log.split()
    assert lines[lines.index("NoNewPrivs:") + 1] == "1"
    for name in ("CapInh:", "CapPrm:", "CapEff:", "CapAmb:"):
        assert int(lines[lines.index(name) + 1], 16) == 0
    assert lines[-1] != "0"


def test_pipes_end_quietly(bench: Bench) -> None:
    """Python ignores SIGPIPE; the launcher must not hand that on."""
    assert bench.shell("set -o pipefail; yes | head -1; echo ${PIPESTATUS[0]}").exit_code == 0
    assert bench.log.split() == ["y", "141"]


def test_the_source_is_not_touched(bench: Bench, images: Path) -> None:
    before = {path: path.stat() for path in images.rglob("*")}
    bench.shell(
        "find /input -type f -exec cat {} + >/dev/null; chmod -R 777 /input; rm -rf /input/*", mounts={"images": images}
    )
    for path, was in before.items():
        now = path.stat()
        assert (now.st_mode, now.st_nlink, now.st_size, now.st_mtime_ns) == (
            was.st_mode,
            was.st_nlink,
            was.st_size,
            was.st_mtime_ns,
        )
