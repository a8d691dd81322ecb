"""Reading switches: from NAME=VALUE, from JSON, and the errors of invalid ones."""

from __future__ import annotations

import dataclasses
import json

import pytest

from receiver.sandbox import faults, rules


def test_switches_are_read_from_text() -> None:
    """Booleans, numbers, words, lists, single routes, objects and scripts."""
    found = faults.parse(
        [
            "callback_before_exec_answer=yes",
            "callback_duplicates=2",
            "latency=0.25",
            "error_shape=nested",
            "callback_states=failed, cancelled",
            "error_rate.exec=0.5",
            "error_rate.details=1",
            'malformed={"status": 1}',
            "retry_after=date:3",
            "withdrawn=410",
            'script=[{"route": "create", "times": 1, "action": "lose_answer"}]',
        ]
    )
    assert found == faults.Faults(
        callback_before_exec_answer=True,
        callback_duplicates=2,
        latency=0.25,
        error_shape="nested",
        callback_states=("failed", "cancelled"),
        error_rate={"exec": 0.5, "details": 1.0},
        malformed={"status": 1.0},
        retry_after="date:3",
        withdrawn=410,
        script=(rules.Rule("lose_answer", "create", times=1),),
    )


@pytest.mark.parametrize(
    ("assignment", "sentence"),
    [
        ("latency", "not of the form NAME=VALUE"),
        ("latencey=1", "did you mean 'latency'"),
        ("latencey.exec=1", "did you mean 'latency'"),
        ("latency.exec=1", "not set by route"),
        ("latency=soon", "latency: 'soon' is not a number from 0"),
        ("latency=nan", "not a number"),
        ("fail_rate=2", "not a number from 0 to 1"),
        ("callback_duplicates=1.5", "not a whole number"),
        ("down=maybe", "neither true nor false"),
        ("error_shape=neste", "did you mean 'nested'"),
        ("callback_states=complete", "did you mean 'completed'"),
        ("error_rate.exce=1", "did you mean 'exec'"),
        ("error_rate=half", "not JSON"),
        ("error_rate=[]", "not an object by route"),
        ("withdrawn=500", "none of 0, 404, 405, 410"),
        ("retry_after=soon", "neither empty, nor seconds"),
        ("script={}", "a script is a list"),
        ("script=[1]", "not a rule"),
        ('script=[{"action": "lose_anser"}]', "did you mean 'lose_answer'"),
        ('script=[{"action": "status"}]', "lacks its number"),
        ('script=[{"action": "status:99"}]', "lacks its number"),
        ('script=[{"action": "malformed:1"}]', "does not take"),
        ('script=[{"action": "drop"}]', "no action of the route"),
        ('script=[{"action": "status:500", "route": "callback"}]', "no action of the route"),
        ('script=[{"action": "pass", "tmes": 1}]', "did you mean 'times'"),
        ('script=[{"action": "pass", "run": 1}]', "not a text"),
    ],
)
def test_a_wrong_switch_is_explained(assignment: str, sentence: str) -> None:
    """The message names what is wrong, and the nearest right name."""
    with pytest.raises(faults.FaultError, match=sentence):
        faults.parse([assignment])


@pytest.mark.parametrize("name", list(faults.FIELDS))
def test_any_json_is_read_or_refused(name: str) -> None:
    """A value of a wrong type is a FaultError that names the switch, and nothing else."""
    wrong = 0
    for value in (None, [], {}, True, "x", 10**400, [[1]], {"a": 1}, -1, 1e308):
        try:
            faults.merged(faults.Faults(), {name: value})
        except faults.FaultError as error:
            wrong += str(error).startswith(name)
    assert wrong > 3


def test_what_is_shown_can_be_set() -> None:
    """The JSON form of all switches is taken back and means the same."""
    switches = faults.parse(["error_rate.exec=0.5", 'script=[{"action": "hang:0.5", "prompt": "x"}]', "down=on"])
    shown = json.loads(json.dumps(faults.as_json(switches)))
    assert faults.merged(faults.Faults(), shown) == switches


def test_every_switch_is_described() -> None:
    """Each has its default, what it takes, and a sentence."""
    described = faults.describe()
    assert [switch["switch"] for switch in described] == [
        field.name for field in dataclasses.fields(faults.Faults)
    ]
    assert all(switch["default"] is not None and switch["takes"] and switch["imitates"] for switch in described)


def test_a_rule_applies_as_often_as_it_is_set_to() -> None:
    """Twice, and then the next rule has its turn."""
    script = (rules.Rule("status:500", "exec", times=2), rules.Rule("status:503", "exec", times=1))
    injector = faults.Injector(faults.Faults(script=script), seed=1)
    picked = [injector.pick(rules.Subject("exec")) for _ in range(4)]
    assert [rule.action if rule else None for rule in picked] == ["status:500", "status:500", "status:503", None]


def test_a_rule_is_narrowed_by_run_agent_and_prompt() -> None:
    """All that a rule names must match; the star leaves out what is sent."""
    rule = rules.Rule("status:500", run="run_1", agent="agent_1", prompt="lease")
    subject = rules.Subject("exec", "run_1", "agent_1", "Review the lease.")
    assert rule.matches(subject)
    for change in ({"run": "run_2"}, {"agent": None}, {"prompt": "else"}, {"route": "callback"}):
        assert not rule.matches(dataclasses.replace(subject, **change))


def test_a_change_elsewhere_leaves_the_counts() -> None:
    """Naming a switch begins its counts anew, and no other's."""
    switches = faults.Faults(lose_answer={"create": 1, "exec": 1})
    injector = faults.Injector(switches, seed=1)
    assert injector.pick(rules.Subject("exec"))
    injector.change(faults.merged(switches, {"script": [{"route": "list", "action": "pass"}]}), ["script"])
    assert not injector.pick(rules.Subject("exec"))
    injector.change(switches, ["lose_answer"])
    assert injector.pick(rules.Subject("exec"))


def test_chance_follows_the_seed() -> None:
    """The same seed hits the same calls; a rate of a half hits about half."""
    switches = faults.Faults(error_rate={"exec": 0.5})

    def struck(seed: int) -> list[bool]:
        injector = faults.Injector(switches, seed)
        return [injector.pick(rules.Subject("exec")) is not None for _ in range(200)]

    assert struck(1) == struck(1) != struck(2)
    assert 70 < sum(struck(1)) < 130
