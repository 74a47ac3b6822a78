"""What is watched beside the sums: a series too young for a baseline (EARS), and who it is that leaves (D4)."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import datetime, timedelta
from statistics import fmean
from typing import Any

from django.db.models import Sum

from incidents.counting import GROUP_OF
from incidents.detection import causes, cold, composition, counts
from incidents.detection.baseline import BUCKET
from incidents.detection.judging import Rules
from incidents.detection.raising import raise_alarm
from incidents.models import Alarm, Incident, Series

WINDOW = timedelta(hours=1)  # of D4
D4_AGAIN_AFTER = timedelta(hours=6)


def watch_cold(series: Series, starts: Sequence[datetime], rules: Rules) -> None:
    """EARS, at each full hour: days of 24 hours where there are enough of them, else hours."""
    for end in {at + BUCKET for at in starts if (at + BUCKET).minute == 0}:
        span, known = cold.spans_of(end - series.first_at)
        numbers = _sums(series, end, span, known)
        found = cold.alarm(numbers, span)
        if found is None:
            continue
        is_daily = span == cold.DAY
        what = "day" if is_daily else "hour"
        names = " and ".join(found.alarms)
        raise_alarm(
            Alarm(
                detector=Alarm.Detector.EARS,
                key=f"EARS:{series.pk}:{(end if not is_daily else end.replace(hour=0)).isoformat()}:{what}",
                title=f"More opt-outs of {series.purpose} by {series.channel} than on the last {what}s",
                series=series,
                bucket=end - BUCKET,
                count=numbers[-1],
                s=max(found.c1, found.c2, found.c3),
                inputs={
                    "counts": numbers,
                    "statistics": {"C1": found.c1, "C2": found.c2, "C3": found.c3},
                    "words": f"{names} of EARS: {numbers[-1]} in the last {what}; too young for a baseline",
                },
                candidates=_behind(series, end, span, numbers),
                settings_version=rules.version,
                mode=rules.mode,
            ),
            began=end - span,
            severity=Incident.Severity.SEV3,
        )


def _behind(series: Series, end: datetime, span: timedelta, numbers: Sequence[int]) -> list[dict[str, Any]]:
    """What may explain the last count, held against the mean and the shares of those before it."""
    starts = counts.buckets(end - span, end)
    explained = causes.span_of(series, dict.fromkeys(starts, fmean(numbers[:-1]) / len(starts)))
    return causes.rank(replace(explained, past=(end - span * len(numbers), end - span)))


def _sums(series: Series, end: datetime, span: timedelta, many: int) -> list[int]:
    """Counts of `many` spans, the one that ends at `end` last."""
    counted = counts.of_series(series, end - span * many, end)
    numbers = [0] * many
    for at, count in counted.items():
        numbers[(at - (end - span * many)) // span] += count
    return numbers


def watch_composition(series: Series, start: datetime, rules: Rules) -> None:
    """D4, over the last hour of a purpose and channel; asked only where enough happened in it."""
    end = start + BUCKET
    recent = counts.opt_outs(end - WINDOW, end, purpose=series.purpose, channel=series.channel)
    if (recent.aggregate(n=Sum("count"))["n"] or 0) < composition.LEAST_EVENTS:
        return
    now = causes.composition(series.purpose, series.channel, end - WINDOW, end)
    before = causes.past_mix(series.purpose, series.channel, end)
    found = composition.shifts(now, before)
    new = [shift for shift in found if not _is_told(_scope(series, shift), start)]
    if not new:
        return
    names = causes.names_in(series.purpose, series.channel, end - WINDOW, end)
    for shift in new:
        name = causes.shown(shift.kind, shift.name, names)
        raise_alarm(
            _composition_alarm(series, start, rules, shift, name, before[shift.kind]),
            began=end - WINDOW,
            severity=Incident.Severity.SEV3,
        )


def _composition_alarm(
    series: Series,
    start: datetime,
    rules: Rules,
    shift: composition.Shift,
    name: str,
    before: Mapping[str, int],
) -> Alarm:
    expected = shift.share * shift.total
    itself = {
        "kind": shift.kind,
        "name": name,
        "count": shift.count,
        "expected": round(expected, 3),
        "lift": round(shift.count / max(expected, 0.5), 2),
        "share": round(min(1.0, (shift.count - expected) / max(1.0, shift.total - expected)), 3),
        "score": 1.0,
        "detail": "",
    }
    return Alarm(
        detector=Alarm.Detector.COMPOSITION,
        key=f"{_scope(series, shift)}{start.isoformat()}",
        title=f"Other people than usual opt out of {series.purpose} by {series.channel}",
        series=series,
        bucket=start,
        count=shift.count,
        p=shift.p,
        inputs={
            "kind": shift.kind,
            "label": shift.name,
            "count": shift.count,
            "total": shift.total,
            "share": shift.share,
            "past": before.get(shift.name, 0),
            "past_total": sum(before.values()),
            "words": f"{shift.kind.replace('_', ' ')} {name} had {shift.count} of {shift.total} in an hour, where "
            f"{expected:.1f} were to be expected",
        },
        candidates=[itself, *_beside(series, start, shift, name)],
        settings_version=rules.version,
        mode=rules.mode,
    )


def _beside(series: Series, start: datetime, shift: composition.Shift, name: str) -> list[dict[str, Any]]:
    """What else may explain a shift: the hour would have been as usual without what it had too many of."""
    group = GROUP_OF[shift.name] if shift.kind == "cause" else series.group
    starts = counts.buckets(start + BUCKET - WINDOW, start + BUCKET)
    counted = sum(counts.of_group(series.purpose, series.channel, group, starts[0], start + BUCKET).values())
    usual = max(0.0, counted - (shift.count - shift.share * shift.total))
    found = causes.rank(causes.span_of(series, dict.fromkeys(starts, usual / len(starts)), group))
    return [each for each in found if (each["kind"], each["name"]) != (shift.kind, name)]


def _scope(series: Series, shift: composition.Shift) -> str:
    return f"D4:{series.purpose}/{series.channel}:{shift.kind}:{shift.name}:"


def _is_told(scope: str, start: datetime) -> bool:
    return Alarm.objects.filter(key__startswith=scope, bucket__gt=start - D4_AGAIN_AFTER).exists()
