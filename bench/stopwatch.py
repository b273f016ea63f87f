"""Times whole processes. Node forks itself for each, which takes up to 20 ms and grows with the memory of the bench, and even
a small shell takes 3 ms to fork where a `true` takes 3 in all; posix_spawn copies nothing.

Reads lines of JSON: `argv`, `env`, `input` (a text), and `until`, a text that ends the time of a server which does not end
by itself. Answers each with a line: `microseconds`, `processor` (user and system, in microseconds) and `status`.
"""

import json
import os
import signal
import sys
import time

READ_BYTES = 65536


def spawn(argv, env, standard_input, standard_output):
    actions = [
        (os.POSIX_SPAWN_DUP2, standard_input, 0),
        (os.POSIX_SPAWN_DUP2, standard_output, 1),
        (os.POSIX_SPAWN_OPEN, 2, os.devnull, os.O_WRONLY, 0),
    ]
    return os.posix_spawnp(argv[0], argv, env, file_actions=actions)


def filled_pipe(text):
    """What is small enough to wait in it."""
    end, beginning = os.pipe()
    os.write(beginning, text.encode())
    return end, beginning


def whole(argv, env, input):
    standard_input, beginning = filled_pipe(input)
    os.close(beginning)
    standard_output = os.open(os.devnull, os.O_WRONLY)
    begun = time.perf_counter_ns()
    _, status, usage = os.wait4(spawn(argv, env, standard_input, standard_output), 0)
    ended = time.perf_counter_ns()
    os.close(standard_input)
    os.close(standard_output)
    return ended - begun, usage, os.waitstatus_to_exitcode(status)


def answer(argv, env, input, until):
    """From its start until it has written `until`; its requests wait for it, and its input stays open."""
    standard_input, beginning = filled_pipe(input)
    output, standard_output = os.pipe()
    begun = time.perf_counter_ns()
    pid = spawn(argv, env, standard_input, standard_output)
    os.close(standard_output)
    written = b""
    while until.encode() not in written:
        some = os.read(output, READ_BYTES)
        if not some:
            break
        written += some
    ended = time.perf_counter_ns()
    os.kill(pid, signal.SIGKILL)
    _, _, usage = os.wait4(pid, 0)
    for descriptor in (standard_input, beginning, output):
        os.close(descriptor)
    return ended - begun, usage, 0 if until.encode() in written else 1


for line in sys.stdin:
    task = json.loads(line)
    run = answer if "until" in task else whole
    nanoseconds, usage, status = run(**task)
    processor = round((usage.ru_utime + usage.ru_stime) * 1e6)
    print(json.dumps({"microseconds": nanoseconds / 1000, "processor": processor, "status": status}), flush=True)
