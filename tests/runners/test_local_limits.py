"""A job that takes too much is ended, with the cause in plain words."""

from __future__ import annotations

import time

from datasets_app.runners.local import LocalRunner
from tests.runners.conftest import Bench, living

MIB = 1024 * 1024


def test_memory(bench: Bench) -> None:
    script = "import time\nkept = [bytearray(b'x') * 2**20 for _ in range(300)]\nprint('full'); time.sleep(20)"
    began = time.monotonic()
    outcome = bench.python(script, limits={"memory_bytes": 100 * MIB})
    assert outcome.cause == "Killed for memory: used more than its limit of 100 MiB."
    assert time.monotonic() - began < 10


def test_memory_is_that_of_all_processes_together(bench: Bench) -> None:
    script = (
        "import os, time\nfor _ in range(3):\n  if not os.fork():\n"
        "    kept = bytearray(b'x') * (60 * 2**20); time.sleep(20)\ntime.sleep(20)"
    )
    outcome = bench.python(script, limits={"memory_bytes": 150 * MIB})
    assert outcome.cause.startswith("Killed for memory")


def test_pages_that_processes_share_count_once(bench: Bench) -> None:
    script = (
        "import os, time\nkept = bytearray(b'x') * (60 * 2**20)\nfor _ in range(4):\n"
        "  if not os.fork():\n    time.sleep(2); os._exit(0)\ntime.sleep(2)"
    )
    assert bench.python(script, limits={"memory_bytes": 150 * MIB}).succeeded


def test_files_in_memory_count(bench: Bench) -> None:
    script = "head -c 80M /dev/zero > /tmp/a; head -c 80M /dev/zero > /dev/shm/b; sleep 20"
    assert bench.shell(script, limits={"memory_bytes": 120 * MIB}).cause.startswith("Killed for memory")


def test_one_allocation_far_beyond_the_limit_fails_at_once(bench: Bench) -> None:
    outcome = bench.python("bytearray(8 * 2**30)", limits={"memory_bytes": 100 * MIB})
    assert outcome.exit_code == 1
    assert "MemoryError" in bench.log


def test_cpu_time(bench: Bench) -> None:
    outcome = bench.shell("while true; do :; done", limits={"cpu_seconds": 1})
    assert outcome.cause == "Used up its CPU time of 1 seconds."


def test_cpu_time_of_many_short_processes(bench: Bench) -> None:
    script = "while true; do timeout 0.3 sh -c 'while true; do :; done'; done"
    outcome = bench.shell(script, limits={"cpu_seconds": 1})
    assert outcome.cause == "Used up its CPU time of 1 seconds."


def test_processes(bench: Bench) -> None:
    script = (
        "import os, time\nborn = 0\ntry:\n  while True:\n    if not os.fork():\n      time.sleep(20); os._exit(0)\n"
        "    born += 1\nexcept OSError as error:\n  print(born, error.errno)"
    )
    outcome = bench.python(script, limits={"max_processes": 20})
    assert outcome.exit_code == 0
    assert bench.log == "19 11\n"


def test_two_jobs_do_not_share_the_process_limit(bench: Bench) -> None:
    first = bench.runner.start(
        bench.spec("sh", "-c", "for i in 1 2 3 4 5 6 7 8; do sleep 5 & done; sleep 5", limits={"max_processes": 10})
    )
    try:
        second = Bench(bench.folder / "second", bench.runner)
        second.folder.mkdir()
        test_processes(second)
    finally:
        first.wait(should_stop=lambda: True, heartbeat=lambda: None)


def test_time(bench: Bench) -> None:
    began = time.monotonic()
    outcome = bench.shell("trap '' TERM; echo begun; sleep 1000 & wait; sleep 77.7", limits={"time_limit_seconds": 1})
    assert outcome.cause == "Reached its time limit of 1 seconds."
    assert time.monotonic() - began < 8
    assert not living("77.7")


def test_output(bench: Bench) -> None:
    script = "for i in 1 2 3 4 5 6; do head -c 10M /dev/zero > /output/$i; done; sleep 20"
    outcome = bench.shell(script, limits={"output_bytes": 40 * MIB})
    assert outcome.cause == "Wrote more than its output limit of 40 MiB."


def test_one_output_file_beyond_the_limit(bench: Bench) -> None:
    outcome = bench.run("head", "-c", "60M", "/dev/zero", limits={"output_bytes": 40 * MIB})
    assert outcome.succeeded
    outcome = bench.run("dd", "if=/dev/zero", "of=big", "bs=1M", "count=60", limits={"output_bytes": 40 * MIB})
    assert outcome.cause == "Wrote more than its output limit of 40 MiB."
    assert (bench.output / "big").stat().st_size == 40 * MIB


def test_a_nearly_full_disk(bench: Bench) -> None:
    bench.runner = LocalRunner(disk_reserve_bytes=2**60)
    assert bench.shell("sleep 20").cause == "Ended because the server's disk is nearly full."


def test_a_large_log_is_cut_in_the_middle(bench: Bench) -> None:
    bench.runner = LocalRunner(log_limit_bytes=2 * MIB)
    assert bench.shell("echo first; yes 0123456 | head -c 100000000; echo; echo the-end").succeeded
    size = (bench.folder / "log.txt").stat().st_size
    assert 2 * MIB < size < 2 * MIB + 70_000
    assert bench.log.startswith("first\n")
    assert bench.log.endswith("the-end\n")
    assert "the log is truncated here" in bench.log


def test_a_log_a_little_too_long_loses_nothing_but_gains_a_line(bench: Bench) -> None:
    bench.runner = LocalRunner(log_limit_bytes=1000)
    assert bench.shell("seq 1000").succeeded
    before, _, after = bench.log.partition("\n[flexai: the log is truncated here, 0 bytes are left out]\n")
    assert before + after == "".join(f"{number}\n" for number in range(1, 1001))
