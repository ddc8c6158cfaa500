"""Open-source peers of the backtest against the inputs and results of their own projects' tests, as tables."""

from typing import Any

import pytest

from sluice_tools.backtest.conditions import Conditions
from sluice_tools.backtest.policies.kubernetes import Hpa, read_rules
from sluice_tools.backtest.policies.open_source import Buildkite, Keda, Wpa, between
from sluice_tools.backtest.simulator import Minute
from sluice_tools.backtest.traces import Trace

UP, DOWN = "100%/15 4/15", "100%/15"  # Kubernetes' own behaviour where none is set
NOW = 10_000.0


def hpa(each: float = 1.0, up: str = UP, down: str = DOWN, **given: Any) -> Hpa:
    """An autoscaler with so many messages for a pod."""
    return Hpa(each, read_rules(up, "up"), read_rules(down, "down"), **given)


def spread(changes: list[int], over_s: float) -> list[tuple[float, int]]:
    """Changes spread evenly over the last seconds, each in the middle of its part."""
    part = over_s / len(changes)
    return [(NOW - over_s + part * (i + 0.5), change) for i, change in enumerate(changes)]


# --------------------------------------------------------------------------- Kubernetes, pkg/controller/podautoscaler


@pytest.mark.parametrize(
    ("length", "each", "replicas", "down_tolerance", "up_tolerance", "pods"),
    [
        (8600, 2150, 3, 0.1, 0.1, 4),  # scale up, external metric per pod
        (8600, 2867, 5, 0.1, 0.1, 3),  # scale down
        (6000, 2000, 5, 0.1, 0.1, 3),
        (20000, 5000, 3, 0.1, 0.1, 4),
        (8600, 2900, 3, 0.1, 0.1, 3),  # within the tolerance
        (20166, 5000, 4, 0.1, 0.1, 4),
        (20208, 5000, 4, 0.1, 0.01, 5),  # outside of one percent
        (8600, 2800, 3, 0.1, 0.01, 4),
        (303, 100, 3, 0.0, 0.0, 4),  # none at all
        (570, 100, 3, 0.1, 2.0, 3),  # within 200% up
        (327, 100, 3, 2.0, 0.08, 4),  # outside of 8% up, whatever is tolerated down
        (195, 100, 3, 0.36, 0.1, 3),  # within 36% down
        (195, 100, 3, 0.34, 0.1, 2),  # outside of 34% down
    ],
)
def test_hpa_when_its_replica_calculator_is_tested(
    *, length: float, each: float, replicas: int, down_tolerance: float, up_tolerance: float, pods: int
) -> None:
    """The cases of replica_calculator_test.go with a metric averaged over pods, and of its tolerances."""
    scaler = hpa(each, down_tolerance=down_tolerance, up_tolerance=up_tolerance)
    assert scaler.recommended(length, replicas) == pods


@pytest.mark.parametrize(
    ("before", "replicas", "wanted", "up_window_s", "down_window_s", "stabilised"),
    [
        ([], 100, 5, 0, 0, 5),
        ([(120, 4), (60, 5)], 100, 3, 0, 180, 5),
        ([(120, 4), (60, 5)], 1, 7, 300, 0, 4),
        ([(120, 1), (60, 2)], 100, 3, 300, 0, 3),
        ([(120, 4), (60, 5)], 1, 3, 0, 300, 3),
        ([(600, 10), (540, 9)], 100, 3, 0, 0, 3),
        ([(600, 10), (540, 9)], 1, 100, 0, 0, 100),
        ([(600, 10), (540, 9), (120, 5), (60, 4)], 100, 3, 0, 180, 5),
        ([(6000, 10), (180, 9), (120, 5), (60, 6)], 1, 100, 300, 0, 5),
    ],
)
def test_hpa_when_its_stabilisation_is_tested(
    *,
    before: list[tuple[float, int]],
    replicas: int,
    wanted: int,
    up_window_s: float,
    down_window_s: float,
    stabilised: int,
) -> None:
    """The cases of TestNormalizeDesiredReplicasWithBehavior: (seconds ago, recommended), then one more."""
    scaler = hpa(up_window_s=up_window_s, down_window_s=down_window_s)
    for ago_s, pods in before:
        scaler.stabilised(NOW - ago_s, pods, replicas)
    assert scaler.stabilised(NOW, wanted, replicas) == stabilised


@pytest.mark.parametrize(
    ("changes", "rules", "replicas", "wanted", "least", "pods"),
    [
        ([], {}, 5, 7, 3, 7),
        ([], {}, 3, 1, 2, 2),
        ([], {"up": "1%/60"}, 3, 1000, 1, 4),  # one percent of three adds a pod
        ([], {"down": "20/60"}, 1000, 3, 3, 980),
        ([], {}, 10, 50, 1, 20),
        ([], {"up": "100/60 100%/60"}, 10, 500, 1, 110),
        ([], {"up": "2/60 100%/60"}, 10, 500, 1, 20),
        ([], {"up": "100/60"}, 10, 50, 1, 50),
        ([], {"up": "10000/60"}, 10, 50, 1, 50),
        ([], {"up": "30/60"}, 10, 50, 1, 40),
        ([], {"up": "200%/60"}, 10, 50, 1, 30),
        ([], {"down": "20/60 1%/60"}, 100, 2, 1, 80),
        ([], {"down": "2/60 1%/60"}, 100, 2, 1, 98),
        ([], {"down": "100/60"}, 10, 0, 1, 1),
        ([], {"down": "100%/60"}, 10, 2, 5, 5),
        ([], {"down": "5/60"}, 10, 2, 1, 5),
        ([], {"down": "50%/60"}, 10, 5, 1, 5),
        ([1, 5, 9], {"up": "5/120"}, 100, 500, 1, 100),
        ([1, 5, 9], {"up": "150/120"}, 100, 500, 1, 235),
        ([1, 5, 9], {"up": "200%/120"}, 100, 500, 1, 255),
        ([-1, -5, -9], {}, 10, 5, 1, 5),
        ([-1, -5, -9], {"down": "115/120"}, 100, 0, 1, 1),
        ([-1, -5, -9], {"down": "130/120"}, 100, 0, 5, 5),
        ([-1, -5, -9], {"down": "100%/120"}, 100, 2, 5, 5),
        ([-1, -5, -9], {"down": "5/120"}, 100, 2, 1, 100),
        ([-2, -4, -6], {"down": "50%/120"}, 100, 0, 1, 56),
        ([-10, -10, -10], {"down": "10%/120"}, 100, 0, 1, 100),
        ([-10, -10, -10], {"down": "1000%/120"}, 10, 5, 1, 5),
        ([8, 12, 9, 11], {"up": "1000/60"}, 100, 200, 1, 200),
        ([8, 12, 9, 11], {"up": "1000/120 100%/60"}, 100, 200, 1, 200),
        ([-8, -12, -9, -11], {"down": "1000/120 100%/60"}, 100, 5, 1, 5),
        ([], {"up": "min 2/60 50%/60"}, 1, 9, 1, 2),  # the policy that changes least
        ([], {"down": "min 2/60 50%/60"}, 5, 1, 1, 3),
        ([], {"down": "min 10%/60 15/60"}, 100, 1, 1, 90),
        ([], {"up": "disabled"}, 5, 9, 1, 5),
        ([], {"down": "disabled"}, 10, 1, 1, 10),
    ],
)
def test_hpa_when_its_scaling_rules_are_tested(
    *, changes: list[int], rules: dict[str, str], replicas: int, wanted: int, least: int, pods: int
) -> None:
    """The cases of TestScalingWithRules and of both limits: earlier changes are spread over two minutes."""
    scaler = hpa(**rules, min_replicas=least)
    scaler._changes.extend(spread(changes, 120.0) if changes else [])
    assert scaler.limited(NOW, wanted, replicas) == pods


def test_hpa_when_it_scales_down_by_a_policy() -> None:
    """Ten percent a minute: what went within the minute counts; after it the next tenth may go."""
    scaler = hpa(down="10%/60", down_window_s=0.0)
    pods = [100]
    for sync in range(9):
        pods.append(scaler.decide(15.0 * sync, 1.0, pods[-1]))
    assert pods[1:] == [90, 90, 90, 90, 81, 81, 81, 81, 72]


@pytest.mark.parametrize("text", ["", "min", "4", "4/", "fast", "100%/15,4/15", "-1/60"])
def test_rules_when_they_cannot_be_read(text: str) -> None:
    """The parameter is named, what it was, and what it may be."""
    with pytest.raises(ValueError, match="keda: up: must be policies such as 100%/15 4/15, or disabled"):
        read_rules(text, "keda: up")


# --------------------------------------------------------------------------- KEDA, pkg/scalers/aws_sqs_queue_scaler.go


@pytest.mark.parametrize(
    ("counts", "length"),
    [
        ("visible", 200),
        ("visible+in-flight", 300),
        ("visible+delayed", 250),
        ("visible+in-flight+delayed", 350),
    ],
)
def test_keda_when_its_scaler_counts(counts: str, length: float) -> None:
    """Of 200 visible, 100 in flight and 50 delayed messages: what scaleOnInFlight and scaleOnDelayed add."""
    assert Keda(counts=counts).length(200.0, 100.0, 50.0) == length


def test_keda_when_a_parameter_cannot_be_read() -> None:
    """Whatever is wrong is told before the first sync."""
    world, trace = Conditions(), Trace("none", [])  # type: ignore[arg-type]
    with pytest.raises(ValueError, match=r"keda: counts: must be one of visible, .* \(got all\)"):
        Keda(counts="all").begin(world, trace)
    with pytest.raises(ValueError, match="keda: down: must be policies"):
        Keda(down="slowly").begin(world, trace)
    assert Keda(min_replicas=2).begin(world, trace) == 2


# --------------------------------------------------------------------------- buildkite-agent-scaler, scaler_test.go


@pytest.mark.parametrize(
    ("jobs", "desired", "each", "given", "wanted"),
    [
        (12, 2, 1, {}, 12),
        (28, 2, 1, {}, 28),
        (12, 12, 1, {"buffer": 10}, 22),
        (12, 1, 4, {}, 3),
        (12, 1, 2, {}, 6),
        (12, 1, 5, {}, 3),
        (12, 1, 20, {}, 1),
        (12, 2, 1, {"out_factor": 0.5}, 7),
        (12, 0, 1, {"out_factor": 0.5}, 6),
        (12, 11, 1, {"out_factor": 0.1}, 12),
        (10, 0, 1, {"out_factor": 5.0}, 50),
        (12, 4, 1, {"out_cooldown_s": 300.0, "_out_at": NOW}, 4),
        (12, 4, 1, {"out_cooldown_s": 300.0, "_out_at": NOW - 600.0}, 12),
        (12, 4, 1, {"out_cooldown_s": 300.0, "_out_at": NOW - 600.0, "out_factor": 2.0}, 20),
        (12, 1, 1, {"scale_out": False}, 1),
        # Not out after an in: the last event of both is a minute ago, the cooldown two.
        (
            2,
            1,
            1,
            {"out_cooldown_s": 120.0, "_out_at": NOW - 600.0, "_in_at": NOW - 60.0, "after_any": True},
            1,
        ),
        (0, 10, 1, {"in_cooldown_s": 300.0, "_in_at": NOW}, 10),
        (0, 10, 1, {"in_cooldown_s": 300.0, "_in_at": NOW - 600.0, "in_factor": 0.1}, 9),
        (15, 30, 1, {"buffer": 10}, 25),
        (10, 20, 1, {"in_factor": 5.0}, 0),
        (0, 1, 1, {"in_factor": 0.1}, 0),
        (0, 1, 1, {"scale_in": False}, 1),
        # Not in after an out, likewise; without `after_any`, or before its first scale-in, it goes.
        (
            0,
            3,
            1,
            {"in_cooldown_s": 120.0, "_in_at": NOW - 600.0, "_out_at": NOW - 60.0, "after_any": True},
            3,
        ),
        (0, 3, 1, {"in_cooldown_s": 120.0, "_in_at": NOW - 600.0, "_out_at": NOW - 60.0}, 0),
        (0, 3, 1, {"in_cooldown_s": 120.0, "_out_at": NOW - 60.0, "after_any": True}, 0),
    ],
)
def test_buildkite_when_its_scaler_is_tested(
    jobs: float, desired: int, each: float, given: dict[str, Any], wanted: int
) -> None:
    """The cases of TestScalingOutWithoutError and TestScalingInWithoutError, and what its source adds to them."""
    policy = Buildkite()
    policy._each = each
    for name, value in given.items():
        setattr(policy, name, value)
    assert policy.wanted(NOW, jobs, desired) == wanted


@pytest.mark.parametrize(
    ("jobs", "desired", "online", "availability", "wanted"),
    [
        (4, 4, 0.25, 0.5, 5),  # one more than there are
        (4, 4, 0.5, 0.5, 4),  # at the threshold
        (9, 4, 0.25, 0.5, 9),  # jobs ask for more than that
        (0, 4, 0.25, 0.5, 0),  # nothing to do
        (4, 4, 0.0, 0.0, 4),  # off
    ],
)
def test_buildkite_when_agents_are_missing(
    jobs: float, desired: int, online: float, availability: float, wanted: int
) -> None:
    """Below its availability threshold it wants one instance more, where there are jobs."""
    assert Buildkite(availability=availability).wanted(NOW, jobs, desired, online) == wanted


# --------------------------------------------------------------------------- Worker Pod Autoscaler, pkg/controller


@pytest.mark.parametrize(
    ("messages", "per_minute", "takes_s", "each", "workers", "least", "most", "disruption", "wanted"),
    [
        (10, 10.0, 0.3, 200, 20, 0, 20, 10.0, 18),
        (1, 2136.0, 10.0, 2500, 10, 2, 20, 0.0, 20),
        (100, 0.0, 0.0, 10, 0, 0, 500, 0.0, 10),  # jobs that take minutes
        (100, 0.0, 0.0, 10, 10, 0, 500, 0.0, 10),
        (50, 0.0, 0.0, 10, 10, 0, 500, 0.0, 10),
        (50, 0.0, 0.0, 10, 10, 0, 500, 100.0, 5),
        (1, 0.0, 0.0, 100, 500, 2, 1000, 50.0, 250),  # the README's example
        # A disruption is rounded up: a quarter of 3, 2, 7 and 10.
        (1, 0.0, 0.0, 100, 3, 0, 500, 25.0, 2),
        (1, 0.0, 0.0, 100, 2, 0, 500, 25.0, 1),
        (1, 0.0, 0.0, 100, 7, 0, 500, 25.0, 5),
        (1, 0.0, 0.0, 100, 10, 0, 500, 25.0, 7),
        # The tolerance is on whole workers: 104 messages are eleven for ten, 111 are twelve.
        (104, 0.0, 0.0, 10, 10, 0, 500, 100.0, 10),
        (111, 0.0, 0.0, 10, 10, 0, 500, 100.0, 12),
        (91, 0.0, 0.0, 10, 11, 0, 500, 100.0, 11),
        (11, 0.0, 0.0, 10, 1, 0, 500, 100.0, 2),
        # Nothing waits and something comes: the least, by disruptions.
        (0, 24.0, 12.0, 10, 10, 0, 500, 100.0, 5),
        (0, 24.0, 12.0, 10, 10, 0, 500, 25.0, 7),
        (0, 0.0, 12.0, 10, 10, 3, 500, 100.0, 3),
    ],
)
def test_wpa_when_its_controller_is_tested(
    *,
    messages: float,
    per_minute: float,
    takes_s: float,
    each: float,
    workers: int,
    least: int,
    most: int,
    disruption: float,
    wanted: int,
) -> None:
    """The cases of controller_test.go and README, and what controller.go decides of rounding and tolerance."""
    policy = Wpa(max_disruption=disruption, min_replicas=least)
    policy._each, policy._takes_s = each, takes_s
    assert policy.wanted(messages, per_minute, workers, most) == wanted


def test_wpa_when_nothing_was_received_for_long() -> None:
    """All go at once then, whatever may be disrupted; not while something waits."""
    policy = Wpa(max_disruption=10.0)
    policy._each = 10.0
    assert policy.wanted(0.0, 0.0, 10, idle=True) == 0
    assert policy.wanted(1.0, 0.0, 10, idle=True) == 9
    assert policy.wanted(0.0, 0.0, 10) == 9


@pytest.mark.parametrize(
    ("now", "begins"),
    [
        (600.0, [0.0, 60.0, 120.0, 180.0, 240.0]),
        (630.0, [60.0, 120.0, 180.0, 240.0, 300.0]),
        (420.0, [0.0, 60.0]),
        (200.0, []),
    ],
)
def test_wpa_when_its_rate_is_taken(now: float, begins: list[float]) -> None:
    """The minutes that began from ten to five minutes ago, as sqs.go asks CloudWatch for them."""
    known = [Minute(60.0 * i, 0.0, 0.0, 0.0, 0.0, 0.0, 1.0) for i in range(11)]
    assert [minute.start_s for minute in between(known, now - 600.0, now - 300.0)] == begins


class SightSeen:
    """What a policy is shown, made by hand."""

    def __init__(self, now: float, desired: int, minutes: list[Minute]) -> None:
        self.now, self.desired, self.minutes = now, desired, minutes

    def visible(self) -> float:
        """One message waits."""
        return 1.0

    def in_flight(self) -> float:
        """None."""
        return 0.0


def test_wpa_when_it_has_just_changed() -> None:
    """Down only ten minutes after a change, and at once where there was none; its rate is that of long ago."""
    minutes = [Minute(60.0 * i, 60.0 if i < 5 else 6000.0, 1.0, 0.0, 0.0, 0.0, 1.0) for i in range(9)]
    policy = Wpa()
    policy.begin(Conditions(seconds_per_message=3.0), Trace("none", []))  # type: ignore[arg-type]
    sight: Any = SightSeen(600.0, 9, minutes)
    assert policy.decide(sight).desired == 3  # 60 a minute, 3 s each: not the 6000 of the last minutes
    sight = SightSeen(1150.0, 9, minutes[:5])
    assert policy.decide(sight).desired == 9
