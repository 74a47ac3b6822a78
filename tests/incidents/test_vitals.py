"""What operators see of telemetry."""

from consent import flow
from consent.services import record
from incidents import linking
from tests.factories import InterruptedOptOutFactory, opt_out


def lines(client):
    return client.get("/metrics").content.decode().splitlines()


def test_metrics_tell_the_unknown_the_interrupted_and_the_slow(committed, client):
    record([opt_out("a@example.org"), opt_out("b@example.org", exit_path="one-click")])
    linking.read_log()
    InterruptedOptOutFactory.create_batch(2)
    flow.took("one-click", 0.02)
    flow.flush()

    told = lines(client)

    assert 'holdfast_opt_outs_last_day{reason="unknown"} 1.0' in told
    assert 'holdfast_opt_outs_last_day{reason="known"} 1.0' in told
    assert "holdfast_interrupted_opt_outs 2.0" in told
    assert 'holdfast_exit_path_latency_seconds{exit_path="one-click",quantile="0.99"} 0.02' in told


def test_what_was_not_measured_is_not_told_as_zero(db, client):
    assert not [line for line in lines(client) if line.startswith("holdfast_exit_path_latency_seconds{")]
