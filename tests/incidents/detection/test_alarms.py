"""From counts to an alarm to an incident: once, with all that explains it, until things are as usual again."""

from datetime import UTC, datetime, timedelta

import pytest

from config.checks import zone_is_known
from incidents.detection import alarms, causes, counts, sends
from incidents.detection.baseline import BUCKET, Effect, bucket_of, hour_of_week
from incidents.detection.explaining import explain
from incidents.detection.learning import lasting
from incidents.detection.picture import draw
from incidents.lifecycle import close, merge_into
from incidents.models import (
    Alarm,
    BaselineVersion,
    BucketScore,
    DecisionMinute,
    DetectorSettings,
    Episode,
    FacetBucket,
    Incident,
    Series,
)
from tests.factories import MarkerFactory, incident
from tests.incidents.detection.conftest import last, leave

pytestmark = pytest.mark.django_db


def test_as_usual_nobody_is_called(series, now):
    leave(last(now, 2), 2)

    judged = alarms.detect(now)

    assert judged == 24
    assert not Alarm.objects.exists()
    assert BucketScore.objects.count() == 24


def test_a_surge_opens_one_incident_that_says_where_to_look_first(series, now):
    MarkerFactory(title="shop 4.2", at=bucket_of(now) - timedelta(minutes=62))
    leave(last(now, 2), 2)
    leave(last(now, 1), 6, exit_path="preference-page")

    alarms.detect(now)

    incident = Incident.objects.get()
    alarm = Alarm.objects.filter(detector="D2").first()
    assert (incident.status, incident.severity, incident.title) == (
        "triage", "sev3", "More opt-outs of marketing by email than usual",
    )  # fmt: skip
    assert set(Alarm.objects.values_list("incident", flat=True)) == {incident.pk}
    assert alarm.s > alarm.threshold
    assert alarm.baseline.phi == 1.0
    found = {(c["kind"], c["name"]): c for c in alarm.candidates}
    assert found["exit_path", "preference-page"]["share"] == 1.0
    assert ("deploy", "shop 4.2") in found
    assert ("cause", "the person's choice") not in found  # it always is, so it explains nothing
    assert "preference-page" in incident.timeline.get(seq=2).text


def test_a_second_look_judges_nothing_twice(series, now):
    leave(last(now, 2), 8)
    alarms.detect(now)
    before = list(Alarm.objects.values_list("key", flat=True)), BucketScore.objects.count()

    judged = alarms.detect(now)

    assert judged == 0
    assert (list(Alarm.objects.values_list("key", flat=True)), BucketScore.objects.count()) == before


def test_a_jump_is_seen_before_its_five_minutes_are_over_and_is_one_alarm(series, now):
    leave(last(now, 2), 2)
    leave([bucket_of(now)], 40, exit_path="preference-page")

    alarms.detect(now)
    alarms.detect(now + timedelta(seconds=30))

    alarm = Alarm.objects.get()
    assert (alarm.detector, alarm.bucket, alarm.count) == ("D1", bucket_of(now), 40)
    assert (alarm.candidates[0]["kind"], alarm.candidates[0]["name"]) == ("exit_path", "preference-page")
    assert explain(alarm).agrees
    alarms.detect(now + BUCKET + timedelta(seconds=30))  # it has closed, and is judged
    assert Alarm.objects.filter(detector="D1").count() == Incident.objects.count() == 1


def test_a_bucket_that_has_only_begun_is_no_slump(series, now):
    leave(last(now, 2), 2)
    leave([bucket_of(now)], 1)

    alarms.detect(now)

    assert not Alarm.objects.exists()


def test_a_surge_that_goes_on_is_told_once_an_hour(series, now):
    leave(last(now, 2), 8)

    alarms.detect(now)

    assert Alarm.objects.filter(detector="D2").count() == 2
    assert Incident.objects.count() == Episode.objects.count() == 1


@pytest.mark.parametrize("count", [8, 40, 0])
def test_every_alarm_comes_out_the_same_when_it_is_computed_again(series, now, count):
    leave(last(now, 2), count)
    alarms.detect(now)

    for alarm in Alarm.objects.select_related("baseline"):
        explained = explain(alarm)
        assert explained.agrees, explained.differs
        assert explained.words
        assert draw(alarm).bars
    assert set(Alarm.objects.values_list("detector", flat=True)) >= {8: {"D2"}, 40: {"D1", "D2"}, 0: {"D3"}}[count]


def test_an_explanation_does_not_depend_on_what_is_forgotten_or_changed_since(series, now):
    leave(last(now, 2), 8)
    alarms.detect(now)
    counts.forget(now + timedelta(weeks=20))
    DecisionMinute.objects.update(count=0)
    row = DetectorSettings.objects.get(pk="choice")
    row.h = row.kappa = 9
    row.save_as("user:anna", "Quieter")

    alarm = Alarm.objects.filter(detector="D2").first()

    assert not BucketScore.objects.exists()
    assert explain(alarm).agrees
    assert draw(alarm).bars


def test_the_line_of_d1_is_drawn_by_the_settings_that_the_alarm_was_raised_by(series, now):
    leave(last(now, 2), 8)
    alarms.detect(now)
    shipped = Alarm.objects.filter(detector="D2").first()
    usual = draw(shipped).table[0][3]

    group = DetectorSettings.objects.get(pk="choice")
    group.jump_least = 30
    group.save_as("user:anna", "Too many jumps")
    tuned = Alarm(
        settings_version=group.history.first().history_id, bucket=shipped.bucket, series=series, mu=shipped.mu
    )

    assert draw(shipped).table[0][3] == usual < 30
    assert {line[3] for line in draw(tuned).table} == {30}


def test_an_alarm_whose_inputs_were_changed_is_found_out(series, now):
    leave(last(now, 2), 8)
    alarms.detect(now)
    alarm = Alarm.objects.filter(detector="D2").first()

    alarm.inputs["trail"][0][1] += 5

    explained = explain(alarm)
    assert not explained.agrees
    assert len(explained.differs) == 2


def test_a_slump_says_that_opting_out_may_be_broken(series, now):
    alarms.detect(now)

    incident = Incident.objects.get()
    assert (incident.title, incident.severity) == ("Opt-outs of marketing by email stopped coming", "sev2")


def test_what_a_reported_send_leads_to_is_no_surge(series, now):
    begin = bucket_of(now) - timedelta(hours=2)
    MarkerFactory(kind="send", title="May offers", at=begin, size=20_000, purpose="marketing", channel="email")
    for number, at in enumerate(last(now, 2)):
        leave([at], 2 + round(1.1 * 0.97**number))

    alarms.detect(now)

    assert not Alarm.objects.exists()
    assert BucketScore.objects.order_by("bucket").first().mu == pytest.approx(3.1, abs=0.1)


def test_sends_of_a_family_teach_what_the_next_one_leads_to(series, now):
    begin = bucket_of(now) - timedelta(days=10)
    MarkerFactory(kind="send", at=begin, size=10_000, purpose="marketing", channel="email", family="weekly")
    led_to = Effect(begin, 10_000, 0.03, 3600.0)
    for at in counts.buckets(begin, begin + timedelta(hours=6)):
        DecisionMinute.objects.filter(minute=at).update(count=2 + round(led_to.expected(at)))
    leave(last(now, 2), 2)

    alarms.detect(now)

    rate, delay = BucketScore.objects.first().baseline.sends["weekly"]
    assert rate == pytest.approx(0.03, rel=0.2)  # 300 of 10,000, drawn toward what was assumed
    assert delay == pytest.approx(3600, rel=0.1)


@pytest.mark.parametrize(("mode", "alarms_kept"), [("monitor", True), ("off", False)])
def test_an_alarm_that_is_only_monitored_calls_nobody(series, now, mode, alarms_kept):
    DetectorSettings.objects.filter(pk="choice").update(mode=mode)
    leave(last(now, 2), 8)

    alarms.detect(now)

    assert Alarm.objects.exists() == alarms_kept
    assert not Incident.objects.exists()


def test_two_quiet_hours_end_it_and_the_incident_is_told(series, now):
    leave(last(now, 2), 8)
    alarms.detect(now)
    later = now + timedelta(hours=3)
    leave(counts.buckets(bucket_of(now), bucket_of(later)), 2)

    alarms.detect(later)

    episode = Episode.objects.get()
    assert episode.ended_at - episode.quiet_since == timedelta(hours=2)
    assert Incident.objects.get().is_open
    assert "as usual again" in Incident.objects.get().timeline.last().text


def test_the_end_is_told_where_the_incident_goes_on(series, now):
    leave(last(now, 2), 8)
    alarms.detect(now)
    survivor = incident("Relay down")
    merge_into(Incident.objects.exclude(pk=survivor.pk).get(), survivor, reason="The same", by="user:anna")
    later = now + timedelta(hours=3)
    leave(counts.buckets(bucket_of(now), bucket_of(later)), 2)

    alarms.detect(later)

    assert "as usual again" in survivor.timeline.last().text


def test_the_end_is_told_to_the_incident_that_a_later_alarm_opened(series, now):
    leave(last(now, 2), 8)
    alarms.detect(now)
    first = Incident.objects.get()
    close(first, reason="Nothing to see", by="user:anna", needs_review=False)
    meanwhile, later = now + timedelta(hours=2), now + timedelta(hours=5)
    leave(counts.buckets(bucket_of(now), bucket_of(meanwhile)), 8)
    alarms.detect(meanwhile)
    leave(counts.buckets(bucket_of(meanwhile), bucket_of(later)), 2)

    alarms.detect(later)

    second = Incident.objects.exclude(pk=first.pk).get()
    assert "as usual again" in second.timeline.last().text


def test_times_of_alarm_do_not_teach_what_is_usual(series, now):
    begin = bucket_of(now) - timedelta(days=5)
    end = begin + timedelta(days=2)
    DecisionMinute.objects.filter(minute__gte=begin, minute__lt=end).update(count=50)
    Episode.objects.create(series=series, kind="surge", began_at=begin, last_alarm_at=begin, ended_at=end)
    leave(last(now, 2), 2)

    alarms.detect(now)

    hours = BucketScore.objects.first().baseline.hours
    assert hours[hour_of_week(begin + timedelta(hours=20))] == pytest.approx(2.0, abs=0.05)


@pytest.mark.parametrize("nights", [timedelta(0), timedelta(hours=8)], ids=["without a break", "with quiet nights"])
def test_a_level_that_goes_on_for_a_week_is_the_usual_from_its_begin(series, now, nights):
    begin = bucket_of(now).replace(hour=0, minute=0) - timedelta(days=10)
    DecisionMinute.objects.filter(minute__gte=begin).update(count=5)
    leave(last(now, 2), 5)
    for day in range(10):
        began = begin + timedelta(days=day)
        ended = None if day == 9 else began + timedelta(days=1) - nights
        Episode.objects.create(series=series, kind="surge", began_at=began, last_alarm_at=began, ended_at=ended)

    alarms.detect(now)

    baseline = BucketScore.objects.first().baseline
    assert baseline.learnt_from == begin
    assert baseline.hours[hour_of_week(now)] == pytest.approx(5.0, abs=0.1)
    assert not Alarm.objects.exists()


def test_other_clocks_teach_anew_and_an_alarm_keeps_those_that_it_was_raised_by(series, now, settings):
    settings.DETECTION_TIME_ZONE = "Asia/Kolkata"
    leave(last(now, 2), 2)
    leave(last(now, 1), 6, exit_path="preference-page")
    alarms.detect(now)
    alarm = Alarm.objects.filter(detector="D2").first()

    settings.DETECTION_TIME_ZONE = "America/New_York"
    assert explain(alarm).agrees
    alarms.detect(now + BUCKET)

    zones = BaselineVersion.objects.order_by("pk").values_list("zone", flat=True)
    assert list(zones) == ["Asia/Kolkata", "America/New_York"]
    assert zone_is_known() == []
    settings.DETECTION_TIME_ZONE = "Berlin"
    assert [found.id for found in zone_is_known()] == ["config.E009"]


def test_what_the_past_was_made_of_is_added_up_once_a_day(series, now, django_assert_num_queries):
    month = counts.buckets(bucket_of(now) - timedelta(weeks=3), bucket_of(now) - timedelta(days=2))[::50]
    seen(month, "a" * 16, 9)
    noon = now.replace(hour=12)

    mix = causes.past_mix("marketing", "email", noon)

    assert mix["domain"] == {"a" * 16: 9 * len(month)}
    assert set(mix["cause"]) == {"subject_choice"}
    with django_assert_num_queries(1):
        assert causes.past_mix("marketing", "email", noon + BUCKET) == mix
    seen(month[:1], "b" * 16, 1)
    assert "b" * 16 in causes.past_mix("marketing", "email", noon + timedelta(days=1))["domain"]


def test_alarms_of_less_than_a_week_or_a_day_apart_are_no_new_level():
    day, hour = timedelta(days=1), timedelta(hours=1)
    start = datetime(2026, 1, 5, tzinfo=UTC)

    assert not lasting([(start, start + 6 * day)])
    assert not lasting([(start + 2 * n * day, start + 2 * n * day + 20 * hour) for n in range(9)])
    assert lasting([(start, start + 3 * day), (start + 4 * day, start + 7 * day)]) == [(start, start + 7 * day)]


def test_a_series_too_young_for_a_baseline_is_held_against_its_last_hours(now):
    start = bucket_of(now).replace(minute=0) - timedelta(hours=20)
    hour = bucket_of(now).replace(minute=0) - timedelta(hours=1)
    leave(counts.buckets(start, hour)[::6], 1)
    leave(counts.buckets(hour, hour + timedelta(hours=1)), 4)
    Series.objects.create(purpose="marketing", channel="email", group="choice", first_at=start)
    MarkerFactory(title="shop 4.2", at=hour - timedelta(hours=6))
    MarkerFactory(kind="send", title="May offers", at=hour, size=500, purpose="marketing", channel="email")

    alarms.detect(now)

    alarm = Alarm.objects.get(detector="EARS")
    assert alarm.count == 48
    assert explain(alarm).agrees
    assert [(each["kind"], each["name"]) for each in alarm.candidates[:2]] == [
        ("send", "May offers"), ("deploy", "shop 4.2"),
    ]  # fmt: skip
    assert "Look first at: send May offers" in alarm.incident.timeline.get(seq=2).text


def test_one_domain_among_many_is_named_as_a_shift_and_never_as_a_person(series, now):
    month = counts.buckets(bucket_of(now) - timedelta(weeks=3), bucket_of(now) - timedelta(days=2))[::50]
    for label, count in (("a" * 16, 9), ("b" * 16, 1)):
        seen(month, label, count)
    leave(last(now, 2), 2)
    seen(last(now, 1), "b" * 16, 2)

    alarms.detect(now)

    alarm = Alarm.objects.get(detector="D4")
    assert (alarm.inputs["kind"], alarm.inputs["total"]) == ("domain", 24)
    assert alarm.candidates[0]["name"] == "shared by fewer than five people"
    assert explain(alarm).agrees
    assert alarms.detect(now + BUCKET) == 1
    assert Alarm.objects.filter(detector="D4").count() == 1


def seen(buckets, label, count, kind="domain"):
    FacetBucket.objects.bulk_create(
        [
            FacetBucket(bucket=at, purpose="marketing", channel="email", kind=kind, label=label, count=count)
            for at in buckets
        ]
    )


@pytest.mark.parametrize("kind", ["network", "client"])
def test_a_network_or_a_client_with_an_unlikely_share_is_a_shift(series, now, kind):
    month = counts.buckets(bucket_of(now) - timedelta(weeks=3), bucket_of(now) - timedelta(days=2))[::50]
    seen(month, "a" * 16, 9, kind)
    leave(last(now, 2), 2)
    seen(last(now, 1), "a" * 16, 1, kind)
    seen(last(now, 1), "c" * 16, 1, kind)

    alarms.detect(now)

    alarm = Alarm.objects.get(detector="D4")
    assert (alarm.inputs["kind"], alarm.inputs["label"], alarm.inputs["count"]) == (kind, "c" * 16, 12)
    assert explain(alarm).agrees


def test_a_cause_with_an_unlikely_share_is_a_shift(series, now):
    leave(last(now, 2), 2)
    leave(last(now, 1), 1, cause="complaint")
    MarkerFactory(title="shop 4.2", at=bucket_of(now) - timedelta(hours=1))

    alarms.detect(now)

    alarm = Alarm.objects.get(detector="D4")
    assert (alarm.inputs["kind"], alarm.inputs["count"], alarm.inputs["total"]) == ("cause", 12, 36)
    assert [each["name"] for each in alarm.candidates] == ["spam complaint", "shop 4.2"]
    assert explain(alarm).agrees


def test_those_who_react_to_something_are_no_other_people_than_usual(series, now):
    leave(last(now, 2, until=1), 2)
    leave(last(now, 1), 2, cause="incident_notice")

    alarms.detect(now)

    assert not Alarm.objects.exists()


def test_a_send_is_known_by_its_reporters_own_name_for_it(now):
    facts = {"size": 100, "purpose": "marketing", "channel": "email"}

    first, is_new = sends.mark("send", "May offers", at=now, source="service:shop", key="may", **facts)
    again, is_new_again = sends.mark("send", "May offers", at=now, source="service:shop", key="may", **facts)

    assert (is_new, is_new_again, first.pk) == (True, False, again.pk)
