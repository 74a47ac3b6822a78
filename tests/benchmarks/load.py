"""Many connections at once, by wrk; what it was told is a Lua script made here."""

import re
import subprocess
import tempfile
from dataclasses import dataclass
from pathlib import Path

CONNECTIONS, THREADS = 64, 2
UNITS = {"us": 0.001, "ms": 1.0, "s": 1000.0}

# `thread_number` and `run` make every request of every run one of its own.
COUNTING = """
local threads = 0
function setup(thread) thread:set("thread_number", threads); threads = threads + 1 end
function init(args) n = 0 end
local errors = 0
function response(status) if status >= 300 then errors = errors + 1; failed = errors end end
function done(summary, latency, requests)
  io.write(string.format("errors=%d\\n", summary.errors.status + summary.errors.read + summary.errors.timeout))
  io.write(string.format("p95_us=%d\\n", latency:percentile(95)))
end
"""


@dataclass(frozen=True, slots=True)
class Load:
    """Requests per second, and milliseconds."""

    rate: float
    p50: float
    p95: float
    p99: float


def run(url: str, script: str, seconds: int) -> Load:
    """Raises where a request failed: a rate of refusals is no rate."""
    with tempfile.NamedTemporaryFile("w", suffix=".lua") as file:
        file.write(COUNTING + script)
        file.flush()
        command = [
            "wrk",
            "-t",
            str(THREADS),
            "-c",
            str(CONNECTIONS),
            "-d",
            f"{seconds}s",
            "--timeout",
            "10s",
            "--latency",
            "-s",
            file.name,
        ]
        done = subprocess.run([*command, url], capture_output=True, text=True, check=True)
    failed = re.search(r"errors=(\d+)", done.stdout)
    if failed is None or int(failed[1]):
        raise RuntimeError(f"{url}: {done.stdout}")
    rate = re.search(r"Requests/sec:\s+([\d.]+)", done.stdout)
    latencies = {
        name: float(value) * UNITS[unit]
        for name, value, unit in re.findall(r"(50|99)%\s+([\d.]+)(us|ms|s)", done.stdout)
    }
    p95 = re.search(r"p95_us=(\d+)", done.stdout)
    if rate is None or p95 is None:
        raise RuntimeError(done.stdout)
    return Load(float(rate[1]), latencies["50"], int(p95[1]) / 1000, latencies["99"])


def get(key: str = "", people: int = 1) -> str:
    """GET with a key; `{n}` in the address is one of so many people."""
    return f"""
wrk.headers["Authorization"] = "Bearer {key}"
function request()
  n = n + 1
  local who = (n * 2 + thread_number) % {people}
  return wrk.format("GET", (string.gsub(wrk.path, "PERSON", who)))
end
"""


def post_decision(key: str, run_number: int) -> str:
    """An opt-out of a new person each time, with an idempotency key of its own."""
    return f"""
wrk.headers["Authorization"] = "Bearer {key}"
wrk.headers["Content-Type"] = "application/json"
local body = '{{"subject":{{"email":"r{run_number}t%dn%d@bench.example"}},"purpose":"marketing","channel":"email",' ..
             '"choice":"opt_out","cause":"subject_choice"}}'
function request()
  n = n + 1
  wrk.headers["Idempotency-Key"] = string.format("r{run_number}t%dn%d", thread_number, n)
  return wrk.format("POST", nil, nil, string.format(body, thread_number, n))
end
"""


def post_one_click(tokens: Path, run_number: int, per_run: int) -> str:
    """The press of a new person each time: tokens come one a line, and a run reads on where the last one ended."""
    return f"""
wrk.headers["Content-Type"] = "application/x-www-form-urlencoded"
local tokens = {{}}
local skip, take = {run_number * per_run}, {per_run}
local number = 0
for line in io.lines("{tokens}") do
  number = number + 1
  if number > skip and number <= skip + take then tokens[#tokens + 1] = line end
end
function request()
  n = n + 1
  local token = tokens[(n * 2 + thread_number - 1) % #tokens + 1]
  return wrk.format("POST", "/u/" .. token .. "/", nil, "List-Unsubscribe=One-Click")
end
"""
